/// A request or an answer: the first line, the headers and the body.
public struct HTTPMessage: Sendable {
  public var start: String
  /// By lowercase name.
  public var headers: [String: String]
  public var body: [UInt8]

  init(_ start: String, _ headers: [String: String] = [:], body: [UInt8] = []) {
    (self.start, self.headers, self.body) = (start, headers, body)
  }

  /// Nil for bytes without an end of the headers.
  init?(_ bytes: [UInt8]) {
    guard let end = Self.end(of: bytes) else { return nil }
    let lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")
    guard let first = lines.first else { return nil }
    start = String(first)
    headers = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      headers[line[..<colon].lowercased()] = String(line[line.index(after: colon)...].drop { $0 == " " })
    }
    body = Array(bytes[(end + 4)...])
  }

  /// The offset of the empty line.
  static func end(of bytes: [UInt8]) -> Int? {
    let mark = Array("\r\n\r\n".utf8)
    guard bytes.count >= mark.count else { return nil }
    return (0...bytes.count - mark.count).first { bytes[$0] == 13 && Array(bytes[$0..<$0 + 4]) == mark }
  }

  /// The target of a request.
  public var path: String { start.split(separator: " ").dropFirst().first.map(String.init) ?? "" }

  /// The headers as sent. The length is that of the body, unless a header says otherwise.
  var head: [UInt8] {
    var headers = headers
    headers["content-length"] = headers["content-length"] ?? "\(body.count)"
    headers["connection"] = "close"
    return Array(
      (start + "\r\n" + headers.sorted { $0.key < $1.key }.map { "\($0): \($1)\r\n" }.joined() + "\r\n").utf8)
  }
}
