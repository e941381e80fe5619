package live

import "distproof/capture"

// Link types of https://www.tcpdump.org/linktypes.html.
const (
	linkEthernet capture.LinkType = 1
	linkCooked   capture.LinkType = 276 // LINUX_SLL2
)
