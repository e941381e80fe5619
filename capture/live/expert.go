package live

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"golang.org/x/net/bpf"
)

// ParseFilter reads a filter in the form in which tcpdump -ddd prints it: a line
// with the number of instructions, and one for each, with its code, the steps to
// jump if its condition is true and if it is false, and its operand, all decimal.
// Errors name the line.
//
// It must be made for packets that begin with an Ethernet header, or for those of
// the interface if that has none: those that any delivers begin so, too.
func ParseFilter(r io.Reader) ([]bpf.RawInstruction, error) {
	lines := bufio.NewScanner(r)
	number, announced := 0, 0
	var code []bpf.RawInstruction
	for lines.Scan() {
		number++
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "":
		case announced == 0:
			n, err := strconv.ParseUint(line, 10, 32)
			if err != nil || n == 0 || n > maxProgram {
				return nil, fmt.Errorf("line %d: %q is no number of instructions from 1 to %d, as tcpdump -ddd prints", number, clip(line), maxProgram)
			}
			announced = int(n)
		case len(code) == announced:
			return nil, fmt.Errorf("line %d: more than the %d instructions that the first line tells", number, announced)
		default:
			i, err := parseInstruction(line)
			if err == nil {
				err = checkInstruction(i, len(code), announced)
			}
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", number, err)
			}
			code = append(code, i)
		}
	}
	switch err := lines.Err(); {
	case err != nil:
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	case announced == 0:
		return nil, fmt.Errorf("it is empty")
	case len(code) < announced:
		return nil, fmt.Errorf("line %d: it ends after %d of %d instructions", number, len(code), announced)
	}
	return code, nil
}

// clip is what is quoted of a line.
func clip(line string) string { return line[:min(len(line), 40)] }

func parseInstruction(line string) (i bpf.RawInstruction, err error) {
	fields := strings.Fields(line)
	if len(fields) != 4 {
		return i, fmt.Errorf("%q is not four numbers: code, two jumps, operand", clip(line))
	}
	var values [4]uint64
	for at, bits := range [...]int{16, 8, 8, 32} {
		if values[at], err = strconv.ParseUint(fields[at], 10, bits); err != nil {
			return i, fmt.Errorf("%q is no number from 0 to %d", clip(fields[at]), uint64(1)<<bits-1)
		}
	}
	return bpf.RawInstruction{Op: uint16(values[0]), Jt: uint8(values[1]), Jf: uint8(values[2]), K: uint32(values[3])}, nil
}

// checkInstruction finds what the kernel would refuse without saying where: an
// instruction that is none, a jump out of the program, an end without an answer.
func checkInstruction(raw bpf.RawInstruction, at, n int) error {
	left := n - 1 - at // instructions behind
	ends := false
	if raw.Op > math.MaxUint8 { // Disassemble looks no further
		return fmt.Errorf("%d is no instruction", raw.Op)
	}
	switch i := raw.Disassemble().(type) {
	case bpf.RawInstruction:
		return fmt.Errorf("%d is no instruction", raw.Op)
	case bpf.RetA, bpf.RetConstant:
		ends = true
	case bpf.Jump:
		if uint64(i.Skip) >= uint64(left) {
			return fmt.Errorf("it jumps over %d instructions, and %d are left", i.Skip, left)
		}
	case bpf.JumpIf, bpf.JumpIfX:
		if skip := int(max(raw.Jt, raw.Jf)); skip >= left {
			return fmt.Errorf("it jumps over %d instructions, and %d are left", skip, left)
		}
	case bpf.ALUOpConstant:
		if (i.Op == bpf.ALUOpDiv || i.Op == bpf.ALUOpMod) && i.Val == 0 {
			return fmt.Errorf("it divides by zero")
		}
	}
	if left == 0 && !ends {
		return fmt.Errorf("the last instruction gives no answer: it is no return")
	}
	return nil
}
