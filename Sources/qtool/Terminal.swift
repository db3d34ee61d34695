import Foundation
import GGUF
import Synchronization

/// Standard error, for all messages that are not results.
///
/// On a terminal, a block of lines at the bottom can be repainted; other lines are written above it. Elsewhere, or with
/// NO_COLOR (https://no-color.org) set, there are no colours.
enum Terminal {
  enum Style: String {
    case plain = ""
    case bold = "1"
    case dim = "2"
    case error = "1;31"
    case warning = "1;33"
    case accent = "36"
  }

  /// Text in a style; a line has several parts.
  typealias Part = (text: String, style: Style)

  private static let environment = ProcessInfo.processInfo.environment
  static let repaints = isatty(2) == 1 && environment["TERM"] != "dumb"
  static let hasColors = repaints && (environment["NO_COLOR"] ?? "").isEmpty

  /// Number of lines of the block at the bottom.
  private static let painted = Mutex(0)

  static var columns: Int {
    var size = winsize()
    guard ioctl(2, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }

  /// Writes a line in place of the block at the bottom.
  static func write(_ parts: [Part]) {
    painted.withLock { lines in
      put(clearing(lines) + parts.map(styled).joined() + "\n")
      lines = 0
    }
  }

  /// Writes a line, with a label such as `warning:` highlighted.
  static func write(_ text: String) {
    for (label, style) in [("warning:", Style.warning), ("note:", .bold)] where text.hasPrefix(label) {
      return write([(label, style), (String(text.dropFirst(label.count)), .plain)])
    }
    write([(text, .plain)])
  }

  /// Repaints the block at the bottom. Lines are cut to the width of the terminal, since wrapped lines could not be
  /// repainted.
  static func paint(_ block: [[Part]]) {
    let width = columns - 1
    let text = block.map { line(of: $0, width: width) }.joined(separator: "\n")
    painted.withLock { lines in
      put(clearing(lines) + text)
      lines = block.count
    }
  }

  /// Removes the block at the bottom.
  static func clear() {
    painted.withLock { lines in
      if lines > 0 { put(clearing(lines)) }
      lines = 0
    }
  }

  private static func line(of parts: [Part], width: Int) -> String {
    var remaining = width
    return parts.map { part in
      let text = String(part.text.prefix(remaining))
      remaining -= text.count
      return styled((text, part.style))
    }.joined()
  }

  private static func styled(_ part: Part) -> String {
    hasColors && part.style != .plain && !part.text.isEmpty
      ? "\u{1B}[\(part.style.rawValue)m\(part.text)\u{1B}[0m" : part.text
  }

  /// Escape codes that move to the start of the first of `lines` lines and erase everything after it.
  private static func clearing(_ lines: Int) -> String {
    lines == 0 ? "" : "\r" + (lines > 1 ? "\u{1B}[\(lines - 1)A" : "") + "\u{1B}[J"
  }

  private static func put(_ text: String) { FileHandle.standardError.write(Data(text.readable.utf8)) }
}
