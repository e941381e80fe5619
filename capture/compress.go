package capture

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// unpack returns the decompressed stream of src, and the name of the compression.
func unpack(src io.Reader, k kind) (io.ReadCloser, string, error) {
	// Both decompressors take what has come and do not wait for a full buffer.
	src = bufio.NewReaderSize(src, firstRead)
	if k == kindGzip {
		// Reads all members, RFC 1952, Section 2.2.
		z, err := gzip.NewReader(src)
		return z, "gzip", err
	}
	z, err := zstd.NewReader(src,
		// One packet after the other on the caller's goroutine: no read-ahead
		// that would hold packets of a live stream back.
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, "zstd", err
	}
	return z.IOReadCloser(), "zstd", nil
}

// isCut reports whether err means that the bytes just ended.
func isCut(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
