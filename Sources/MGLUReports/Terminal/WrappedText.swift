/// Text in lines of a width.
public enum WrappedText {
  /// The words of `paragraph` in lines of at most `width` characters after `indent` spaces; a word that
  /// is longer has a line to itself.
  public static func lines(_ paragraph: String, indent: Int = 0, width: Int = 80) -> [String] {
    let space = String(repeating: " ", count: indent)
    var lines: [String] = []
    var line = ""
    for word in paragraph.split(whereSeparator: { $0 == " " || $0.isNewline }) {
      if !line.isEmpty, indent + line.count + 1 + word.count > width {
        lines.append(space + line)
        line = ""
      }
      line += (line.isEmpty ? "" : " ") + word
    }
    if !line.isEmpty { lines.append(space + line) }
    return lines
  }
}
