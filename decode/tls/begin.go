package tls

// Begin returns the offset of the first record that the stream is taken to be
// TLS for; valid if it is [Synced].
func (s *Stream) Begin() int64 {
	if s.mark < len(s.log) {
		return s.log[s.mark].Offset
	}
	return s.record.Offset
}
