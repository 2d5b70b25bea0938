// Makes the logs and the table beside it: go run make.go
//
// The scheme is written here a second time, in the language that the logs come from, so that what the integrity of a line
// of JSON covers is what Go's own encoding/json says.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
)

const last = "End of current audit log chain"

type members = map[string]any

type entry struct {
	level, message string
	fields         members
}

// Messages and fields that readers stumble over; the last two of each chain are Acra's own.
func entries(chain int) []entry {
	all := []entry{
		{"info", fmt.Sprintf("Start of session %d", chain), members{"client_id": "user-0"}},
		{"error", "cannot decrypt", members{"error": `wrong key | zone="x" \ path = /etc`}},
		{"warning", "<b>&amp;</b> сталося 🔐 \u2028\u2029 \ufffd", nil},
		{"debug", "numbers", members{"big": 1234567890123456789, "odd": uint64(1<<53 + 1), "huge": 1e21, "large": 1e20,
			"small": 1e-7, "minus": math.Copysign(0, -1), "long": 3.141592653589793, "least": 5e-324, "code": 503}},
		{"info", "structured", members{"nested": members{"z": []any{3, members{"b": true, "a": nil}}, "<y>": "\u2028"}}},
		{"info", "controls \a\b\f\v\x00\x1f\x7f and line one\nline two\ttab\rreturn", nil},
		{"info", "", members{"empty": ""}},
		{"info", "invalid \xff\xfe\xc3 bytes", nil},
		{"info", "a integrity=" + strings.Repeat("0", 64) + " chain=new", nil},
		{"info", last, nil},
		{"info", "chain=end " + last + " |" + last + "| msg=\"" + last + "\" chain=end", nil},
		{"info", "delimiter", members{"text": `"delimiterdelimiterx`}},
		{"info", `a letter in six: \u0008, and really: ` + "\b", nil},
	}
	if chain == 1 {
		all = append(all, entry{"info", strings.Repeat("long ", 14_000), nil})
	}
	return append(all, entry{"info", "Prepare to audit log chain finalization", nil}, entry{"info", last, members{"chain": "end"}})
}

// Writes a line, given what turns the text that is covered into its integrity.
type form func(at int, one entry, seal func([]byte) string, first bool) string

func plaintext(at int, one entry, seal func([]byte) string, first bool) string {
	line := fmt.Sprintf(`time="2026-11-23T03:35:%02dZ" level=%s`, at, one.level)
	if one.message != "" {
		line += " msg=" + quoted(one.message)
	}
	for _, name := range sorted(one.fields) {
		line += " " + name + "=" + quoted(fmt.Sprint(one.fields[name]))
	}
	return behind(line, seal, first)
}

func cef(at int, one entry, seal func([]byte) string, first bool) string {
	line := "CEF:0|cossacklabs|acra-server|0.96.0|100|" + escaped(one.message) + "|1|"
	fields := members{"unixTime": fmt.Sprintf("17954049%02d.679", at)}
	for name, value := range one.fields {
		fields[name] = value
	}
	for _, name := range sorted(fields) {
		line += name + "=" + escaped(fmt.Sprint(fields[name])) + " "
	}
	return behind(strings.TrimSuffix(line, " "), seal, first)
}

func behind(line string, seal func([]byte) string, first bool) string {
	line += " integrity=" + seal([]byte(line))
	if first {
		line += " chain=new"
	}
	return line
}

func inJSON(at int, one entry, seal func([]byte) string, first bool) string {
	all := members{"level": one.level, "msg": one.message, "product": "acra-server", "version": "0.96.0",
		"timestamp": fmt.Sprintf("2026-11-23T03:35:%02dZ", at), "unixTime": fmt.Sprintf("17954049%02d.679", at)}
	for name, value := range one.fields {
		all[name] = value
	}
	// Numbers and invalid bytes are covered as a reader of the line sees them.
	all = read(marshal(all)).(members)
	var data []byte
	for _, name := range sorted(all) {
		data = append(data, "delimiter"+name+"delimiter"...)
		data = append(append(data, marshal(all[name])...), "delimiter"...)
	}
	all["integrity"] = seal(data)
	if first {
		all["chain"] = "new"
	}
	return string(marshal(all))
}

func quoted(text string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._/@^+", r)
	}
	if text != "" && strings.TrimFunc(text, safe) == "" {
		return text
	}
	return strconv.Quote(text)
}

func escaped(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return " "
	}
	return strings.NewReplacer("\n", " ", "\t", " ", `\`, `\\`, "|", `\|`, "=", `\=`).Replace(text)
}

func sorted(all members) []string {
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func marshal(value any) []byte {
	text, err := json.Marshal(value)
	check(err)
	return text
}

func read(text []byte) (value any) {
	check(json.Unmarshal(text, &value))
	return value
}

func log(key []byte, write form) []byte {
	var out bytes.Buffer
	for chain := range 3 {
		hash := sha256.Sum256(key)
		var tag []byte
		seal := func(data []byte) string {
			mac := hmac.New(sha256.New, hash[:])
			mac.Write(data)
			mac.Write(tag)
			tag = mac.Sum(nil)
			hash = sha256.Sum256(hash[:])
			integrity := sha256.Sum256(tag)
			return hex.EncodeToString(integrity[:])
		}
		for number, one := range entries(chain) {
			fmt.Fprintln(&out, write(7+chain, one, seal, number == 0))
		}
	}
	return out.Bytes()
}

// Texts of JSON, and what Go writes after it has read them.
func values() []byte {
	given := []string{
		"0", "-0", "-0.0", "0e5", "1", "-1", "1.0", "100", "1E5", "0.1", "0.5", "-0.25", "1e-6", "1e-7", "9.99e-7", "0.000001",
		"1.5e-10", "5e-324", "2.2250738585072011e-308", "1e20", "1e21", "-1e21", "999999999999999934463", "1e22", "1e23", "1e100",
		"1.7976931348623157e308", "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993",
		"1234567890123456789", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "18446744073709551616",
		"123456789012345678901234567890", "3.141592653589793238", "0.30000000000000004", "500.00000000000000000001",
		"null", "true", "false", "[]", "{}", "[1, 2,\t3]", `{ "b": [1, {"z":1,"y":2}], "a": {}, "B": 0, "é": 1 }`, `{"a":1,"a":2}`,
		strings.Repeat("[", 100) + strings.Repeat("]", 100), `{"<&>": "\u2028"}`,
		`""`, `"<a>&amp;\u003c"`, `"\"\\\/\n\r\t"`, `"\u2028\u2029é\ud83d\ude00"`, `"\u00e9\u0041"`, `"\\u0008"`, `"\ufffd"`, `"'\u0027"`,
	}
	for letter := range 0x21 {
		given = append(given, fmt.Sprintf(`"\u%04x"`, letter))
	}
	given = append(given, `"`+"\x7f\u0080\u009f\u00ad\ufeff\U0010ffff"+`"`)
	for bits, tries := uint64(1), 0; tries < 200; tries++ {
		bits = bits*6364136223846793005 + 1442695040888963407
		number := math.Float64frombits(bits ^ bits>>29)
		if tries%2 == 0 { // of a size that people write
			number = float64(int64(bits>>12)) / math.Pow10(int(bits>>5)%24)
		}
		if !math.IsNaN(number) && !math.IsInf(number, 0) {
			given = append(given, strconv.FormatFloat(number, 'e', 16+tries%3, 64))
		}
	}
	var out bytes.Buffer
	for _, text := range given {
		out.Write(marshal(map[string]string{"given": text, "written": string(marshal(read([]byte(text))))}))
		out.WriteString("\n")
	}
	return out.Bytes()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	key := sha256.Sum256([]byte("of the logs made for tests"))
	for name, text := range map[string][]byte{
		"plaintext.log": log(key[:], plaintext), "cef.log": log(key[:], cef), "json.log": log(key[:], inJSON),
		"key.hex": []byte(hex.EncodeToString(key[:]) + "\n"), "values.jsonl": values(),
	} {
		check(os.WriteFile(name, text, 0o644))
	}
}
