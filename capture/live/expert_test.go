package live

import (
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
)

func TestParseFilter(t *testing.T) {
	// tcpdump -ddd -y EN10MB tcp port 4369 and not ip6
	const text = "9\n40 0 0 12\n21 0 6 2048\n48 0 0 23\n21 0 4 6\n177 0 0 14\n72 0 0 16\n21 0 1 4369\n6 0 0 262144\n6 0 0 0\n"
	code, err := ParseFilter(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(code) != 9 || code[1] != (bpf.RawInstruction{Op: 21, Jt: 0, Jf: 6, K: 2048}) {
		t.Errorf("%v", code)
	}
	if _, err := ParseFilter(strings.NewReader("\r\n1\r\n\r\n6 0 0 1\r\n\r\n")); err != nil {
		t.Error(err)
	}
}

func TestParseFilterErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "it is empty"},
		{"blank", "\n \n", "it is empty"},
		{"an expression", "tcp port 4369\n", `line 1: "tcp port 4369" is no number of instructions`},
		{"none", "0\n", "line 1: \"0\" is no number of instructions from 1 to 4096"},
		{"too many", "4097\n", "from 1 to 4096"},
		{"the form of -d", "1\n(000) ret #262144\n", `line 2: "(000) ret #262144" is not four numbers`},
		{"the form of -dd", "1\n{ 0x6, 0, 0, 0x00040000 },\n", "line 2: "},
		{"cut", "2\n40 0 0 12\n", "line 2: it ends after 1 of 2 instructions"},
		{"longer than announced", "1\n6 0 0 0\n6 0 0 0\n", "line 3: more than the 1 instructions"},
		{"a number too large", "1\n6 256 0 0\n", `line 2: "256" is no number from 0 to 255`},
		{"negative", "1\n6 0 0 -1\n", `line 2: "-1" is no number from 0 to 4294967295`},
		{"no instruction", "2\n\n7777 0 0 0\n6 0 0 0\n", "line 3: 7777 is no instruction"},
		{"a jump out", "2\n5 0 0 1\n6 0 0 0\n", "line 2: it jumps over 1 instructions, and 1 are left"},
		{"a jump far out", "2\n5 0 0 4294967295\n6 0 0 0\n", "line 2: it jumps over 4294967295"},
		{"a conditional jump out", "3\n21 1 2 0\n6 0 0 1\n6 0 0 0\n", "line 2: it jumps over 2"},
		{"no end", "1\n40 0 0 12\n", "line 2: the last instruction gives no answer"},
		{"division by zero", "2\n52 0 0 0\n6 0 0 0\n", "line 2: it divides by zero"},
		{"memory that is not there", "2\n2 0 0 16\n6 0 0 0\n", "line 2: 2 is no instruction"},
		{"a long line", "1\n" + strings.Repeat("9", 1<<17), "line 2: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseFilter(strings.NewReader(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 200 {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// What tcpdump makes is taken.
func TestParseFilterOfTcpdump(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("needs tcpdump")
	}
	for _, expression := range []string{"", "tcp", "vlan and tcp", "host 10.0.0.1 or net fd00::/8", "portrange 9100-9200", "tcp[tcpflags] & (tcp-syn) != 0", "greater 1000"} {
		out, err := exec.Command(tcpdump, append([]string{"-y", "EN10MB", "-ddd"}, strings.Fields(expression)...)...).Output()
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		if _, err := ParseFilter(strings.NewReader(string(out))); err != nil {
			t.Errorf("%s: %v\n%s", expression, err, out)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	f.Add("2\n40 0 0 12\n6 0 0 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		code, err := ParseFilter(strings.NewReader(text))
		if (err == nil) != (len(code) > 0) {
			t.Fatalf("%v, %v", code, err)
		}
		if err != nil {
			return
		}
		// No jump leaves the program, and it ends: else this would fail, too.
		var program []bpf.Instruction
		for _, i := range code {
			program = append(program, i.Disassemble())
			if _, ok := program[len(program)-1].(bpf.LoadExtension); ok {
				return // only the kernel knows those
			}
		}
		m, err := bpf.NewVM(program)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = m.Run(make([]byte, 64))
	})
}
