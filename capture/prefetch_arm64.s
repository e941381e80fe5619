#include "textflag.h"

// func prefetchHeader(p *byte)
TEXT ·prefetchHeader(SB), NOSPLIT, $0-8
	MOVD p+0(FP), R0
	PRFM (R0), PLDL2KEEP
	PRFM 64(R0), PLDL2KEEP
	PRFM 128(R0), PLDL2KEEP
	RET
