package tls

// A Queue bounds what streams keep together while they wait for secrets. It is
// not safe for concurrent use.
type Queue struct {
	limit, bytes int
	// waiting are the streams that keep something, in the order in which they
	// began to. Those that are not queued any more are passed over.
	waiting []*Stream
}

// NewQueue returns a Queue for so many bytes.
func NewQueue(limit int) *Queue { return &Queue{limit: limit} }

// Bound has the stream keep what waits for secrets only as long as there is room
// in q. Those that began first are given up first. It is called before any data.
func (s *Stream) Bound(q *Queue) { s.queue = q }

// add says that s keeps n more bytes.
func (q *Queue) add(s *Stream, n int) {
	s.heldBytes += n
	if q == nil {
		return
	}
	if !s.queued {
		s.queued = true
		q.waiting = append(q.waiting, s)
	}
	for q.bytes += n; q.bytes > q.limit; {
		q.waiting[0].tire()
	}
}

// done says that s does not keep anything any more.
func (q *Queue) done(s *Stream) {
	if !s.queued {
		return
	}
	s.queued = false
	q.bytes -= s.heldBytes
	for len(q.waiting) > 0 && !q.waiting[0].queued {
		q.waiting = q.waiting[1:]
	}
}

// GiveUp drops what waits for secrets: no more comes of the stream, and nobody
// asks for it.
func (s *Stream) GiveUp() {
	if s.secrets != nil {
		s.queue.done(s)
		s.held = nil
	}
}

// tire gives up what waits for secrets.
func (s *Stream) tire() {
	s.queue.done(s)
	s.held = nil
	s.holdNoMore("too many connections wait for secrets")
}
