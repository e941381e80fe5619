package capture

// Limits of what a file can make this package keep in memory. Beyond them an
// input is damaged; nothing is dropped without a word.
const (
	// maxBlock bounds one pcapng block, and with it the read buffer. It is
	// Wireshark's limit, too.
	maxBlock = 16 << 20
	// maxPacket is the largest packet that libpcap and Wireshark accept. A
	// file whose own snapshot length is larger may go up to maxBlock.
	maxPacket = 256 << 10
	// maxInterfaces bounds the interface table of a pcapng section. Interface
	// numbers of one host do not get near it.
	maxInterfaces = 1 << 16
	// maxSecrets bounds the key log text kept of one input, in bytes. It is
	// enough for some hundred thousand TLS sessions.
	maxSecrets = 32 << 20
	// secretCost is added for each kept block, so that many tiny blocks count.
	secretCost = 64
	// maxWindow bounds the zstd window. The zstd tool has the same limit
	// unless it is told otherwise.
	maxWindow = 128 << 20

	// firstRead is the initial size of a read buffer, and maxRead what it
	// grows to when the input fills it.
	firstRead = 64 << 10
	maxRead   = 1 << 20
	// allReads bounds the buffers of all inputs together, as long as each has
	// at least firstRead and no larger block.
	allReads = 64 << 20
	// keptOpen is the number of inputs up to which all are kept open. With
	// more, a file is opened when the timeline arrives at it.
	keptOpen = 8
)
