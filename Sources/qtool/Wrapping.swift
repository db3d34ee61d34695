/// Text wrapped between words to at most `width` columns. All lines except the first begin with `indent` spaces.
func wrapped(_ text: String, indent: Int, width: Int = 100) -> String {
  var lines: [String] = []
  var line = ""
  var isStart = true
  for word in text.split(separator: " ", omittingEmptySubsequences: false) {
    if !isStart, line.count + word.count + 1 > width, line.contains(where: { $0 != " " }) {
      lines.append(line)
      line = String(repeating: " ", count: indent) + word
    } else {
      line += isStart ? String(word) : " " + word
    }
    isStart = false
  }
  return (lines + [line]).joined(separator: "\n")
}
