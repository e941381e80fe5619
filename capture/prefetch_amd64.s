#include "textflag.h"

// func prefetchHeader(p *byte)
TEXT ·prefetchHeader(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), AX
	PREFETCHT1 (AX)
	PREFETCHT1 64(AX)
	PREFETCHT1 128(AX)
	RET
