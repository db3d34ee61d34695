import Files
import Foundation
import Synchronization
import Tensors

/// A hub for tests, of repositories in folders: it describes them, redirects to signed addresses of a second port, and
/// there passes requests on to nginx. Either port can fail in the ways of real servers.
///
/// Unchecked: threads share only `state`, which is locked.
public final class HubServer: @unchecked Sendable {
  /// A way to fail.
  public enum Fault: CaseIterable, Sendable {
    case tooManyRequests, serverError, expired, truncated, slow, otherRange, otherVersion, closed
  }

  /// The files of which the server sends parts. It sends others whole.
  public enum Ranges: Sendable { case ofAllFiles, ofLargeFiles, ofNoFile }

  private struct State {
    var faults: [Fault] = []
    var requests: [(isStorage: Bool, request: HTTPMessage)] = []
    var random = SplitMix(seed: 1)
    var injected = 0
    var signature = 0
    /// One of so many requests for data fails.
    var interval: UInt64 = 2
    /// Answers of the second port that were sent whole.
    var sent = 0
    /// The offset of a byte that is changed on its way, under the right version.
    var damaged: Int?
    /// Called before every answer.
    var heard: (@Sendable () -> Void)?
  }

  /// `ORG/NAME` of the repository.
  public static let repository = "team/model"
  public static let commit = String(repeating: "ab", count: 20)

  private let folder: String
  private let nginx: Nginx
  private let endpoint: (descriptor: Int32, port: Int)
  private let storage: (descriptor: Int32, port: Int)
  private let state = Mutex(State())
  /// Answers that replace the hub's, by the beginning of a path.
  private let answers: [String: HTTPMessage]
  private let ranges: Ranges

  /// - Parameters:
  ///   - folder: the repository.
  ///   - refusals: by the beginning of a path, a status and an error code.
  ///   - ranges: the files of which the server sends parts.
  public init(
    serving folder: String, refusals: [String: (status: String, code: String?)] = [:],
    ranges: Ranges = .ofAllFiles
  ) throws {
    self.folder = folder
    self.ranges = ranges
    nginx = try Nginx(serving: folder)
    endpoint = try HTTPSocket.listen()
    storage = try HTTPSocket.listen()
    answers = refusals.mapValues { refusal in
      HTTPMessage("HTTP/1.1 \(refusal.status)", refusal.code.map { ["x-error-code": $0] } ?? [:])
    }
    for (descriptor, isStorage) in [(endpoint.descriptor, false), (storage.descriptor, true)] {
      Thread { [weak self] in
        while true {
          let connection = accept(descriptor, nil, nil)
          guard connection >= 0 else { return }
          Thread { [weak self] in
            self?.serve(connection, isStorage: isStorage)
            close(connection)
          }.start()
        }
      }.start()
    }
  }

  deinit {
    for descriptor in [endpoint.descriptor, storage.descriptor] {
      shutdown(descriptor, Int32(2))
      close(descriptor)
    }
  }

  /// The value of HF_ENDPOINT.
  public var address: String { "http://127.0.0.1:\(endpoint.port)" }

  /// Environment of a client without other settings.
  public func environment(home: String, token: String? = nil) -> [String: String] {
    [
      "HF_ENDPOINT": address, "HF_HOME": home, "HF_HUB_CACHE": "", "HF_TOKEN": token ?? "", "HF_HUB_OFFLINE": "",
      "XDG_CACHE_HOME": home + "/cache", "http_proxy": "", "no_proxy": "*",
    ]
  }

  /// Lets about one of `interval` requests for data fail, until each fault has been injected.
  public func inject(_ faults: [Fault], seed: UInt64, interval: UInt64 = 2) {
    state.withLock {
      $0.faults = faults
      $0.interval = interval
      $0.random = SplitMix(seed: seed)
    }
  }

  /// Calls a function before every answer.
  public func onRequest(_ call: @escaping @Sendable () -> Void) { state.withLock { $0.heard = call } }

  /// Changes a byte of every large file on its way.
  public func damage(byteAt offset: Int) { state.withLock { $0.damaged = offset } }

  /// The number of requests that failed on purpose.
  public var injected: Int { state.withLock { $0.injected } }

  /// All requests so far, and whether they came to the second port.
  public var requests: [(isStorage: Bool, request: HTTPMessage)] { state.withLock { $0.requests } }

  // MARK: answers

  private func serve(_ connection: Int32, isStorage: Bool) {
    guard let request = HTTPMessage(HTTPSocket.read(connection) { HTTPMessage.end(of: $0) != nil }) else { return }
    let fault = state.withLock { state -> Fault? in
      state.requests.append((isStorage, request))
      let isData = isStorage || request.path.contains("/resolve/")
      guard isData, let fault = state.faults.first, state.random.next() % state.interval == 0 else { return nil }
      // Another version is a fault midway: the first version is the right one.
      if fault == .otherVersion, !isStorage || state.sent < 3 { return nil }
      state.injected += 1
      state.faults.removeFirst()
      return fault
    }
    state.withLock { $0.heard }?()
    switch fault {
    case .tooManyRequests: return send(HTTPMessage("HTTP/1.1 429 Too Many Requests", ["retry-after": "0"]), connection)
    case .serverError: return send(HTTPMessage("HTTP/1.1 500 Internal Server Error"), connection)
    // The endpoint's 403 would be a refusal.
    case .expired:
      return send(HTTPMessage(isStorage ? "HTTP/1.1 403 Forbidden" : "HTTP/1.1 502 Bad Gateway"), connection)
    case .closed: return
    default: break
    }
    guard var answer = isStorage ? stored(request) : described(request) else {
      return send(HTTPMessage("HTTP/1.1 404 Not Found", ["x-error-code": "EntryNotFound"]), connection)
    }
    switch fault {
    case .otherRange:
      // A whole file names no range.
      if let range = answer.headers["content-range"] {
        answer.headers["content-range"] = range.replacing("bytes ", with: "bytes 1")
      }
    case .otherVersion:
      answer.headers["etag"] = "\"another\""
      if !answer.body.isEmpty { answer.body[0] ^= 1 }
    case .truncated:
      answer.headers["content-length"] = "\(answer.body.count)"
      answer.body.removeLast(answer.body.count / 3)
    case .slow:
      HTTPSocket.write(answer.head, to: connection)
      for start in stride(from: 0, to: answer.body.count, by: 16 << 10) {
        Thread.sleep(forTimeInterval: 0.005)
        HTTPSocket.write(answer.body[start..<min(answer.body.count, start + (16 << 10))], to: connection)
      }
      return
    default: break
    }
    if isStorage, let damaged = state.withLock({ $0.damaged }),
      let start = Int(answer.headers["content-range"]?.dropFirst("bytes ".count).prefix { $0.isNumber } ?? ""),
      (start..<start + answer.body.count).contains(damaged)
    {
      answer.body[damaged - start] ^= 1
    }
    send(answer, connection)
    if isStorage, fault == nil { state.withLock { $0.sent += 1 } }
  }

  private func send(_ answer: HTTPMessage, _ connection: Int32) {
    HTTPSocket.write(answer.head + answer.body, to: connection)
  }

  /// The second port: nginx behind a signature.
  private func stored(_ request: HTTPMessage) -> HTTPMessage? {
    let path = request.path.split(separator: "?")
    guard path.count == 2, path[1].hasPrefix("signature="), let upstream = try? HTTPSocket.connect(port: nginx.port)
    else {
      return HTTPMessage("HTTP/1.1 403 Forbidden")
    }
    defer { close(upstream) }
    var headers = ["host": "127.0.0.1", "connection": "close"]
    if ranges != .ofNoFile { headers["range"] = request.headers["range"] }
    var forwarded = HTTPMessage("GET \(path[0]) HTTP/1.1", headers)
    forwarded.headers["content-length"] = "0"
    HTTPSocket.write(forwarded.head, to: upstream)
    return HTTPMessage(HTTPSocket.read(upstream))
  }

  /// The first port: descriptions of repositories, and redirects.
  private func described(_ request: HTTPMessage) -> HTTPMessage? {
    let path = request.path
    if let answer = answers.first(where: { path.hasPrefix($0.key) })?.value { return answer }
    if path.hasPrefix("/api/models/\(Self.repository)/revision/main?") {
      return HTTPMessage("HTTP/1.1 200 OK", ["content-type": "application/json"], body: Array(description.utf8))
    }
    if path.hasPrefix("/api/") {
      return HTTPMessage(
        "HTTP/1.1 404 Not Found", ["x-error-code": path.contains(Self.repository) ? "RevisionNotFound" : "RepoNotFound"]
      )
    }
    let prefix = "/\(Self.repository)/resolve/\(Self.commit)/"
    guard path.hasPrefix(prefix) else { return nil }
    let name = String(path.dropFirst(prefix.count))
    guard let data = FileManager.default.contents(atPath: folder + "/" + name) else { return nil }
    let sum = DataDigest.hex(of: Array(data))
    let common = ["x-repo-commit": Self.commit, "x-linked-size": "\(data.count)", "x-linked-etag": "\"\(sum)\""]
    guard Self.isLarge(name) else {
      guard ranges == .ofAllFiles, let range = Self.range(request, of: data.count) else {
        return HTTPMessage("HTTP/1.1 200 OK", common, body: Array(data))
      }
      return HTTPMessage(
        "HTTP/1.1 206 Partial Content",
        common.merging(["content-range": "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(data.count)"]) { $1 },
        body: Array(data[range]))
    }
    let signature = state.withLock { state in
      state.signature += 1
      return state.signature
    }
    let target = "http://127.0.0.1:\(storage.port)/\(name)?signature=\(signature)"
    return HTTPMessage("HTTP/1.1 302 Found", common.merging(["location": target]) { $1 })
  }

  /// The range that a request names; nil without one.
  private static func range(_ request: HTTPMessage, of size: Int) -> Range<Int>? {
    let bounds = request.headers["range"]?.dropFirst("bytes=".count).split(separator: "-").compactMap { Int($0) } ?? []
    guard bounds.count == 2, bounds[0] <= bounds[1], bounds[0] < size else { return nil }
    return bounds[0]..<min(bounds[1] + 1, size)
  }

  private static func isLarge(_ name: String) -> Bool { name.hasSuffix(".safetensors") || name.hasSuffix(".gguf") }

  private var description: String {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    let files = names.sorted().map { name -> String in
      let bytes = Array(FileManager.default.contents(atPath: folder + "/" + name) ?? Data())
      let large = "{\"sha256\": \"\(DataDigest.hex(of: bytes))\", \"size\": \(bytes.count)}"
      return "{\"rfilename\": \"\(name)\", \"size\": \(bytes.count), \"lfs\": \(large)}"
    }
    return "{\"sha\": \"\(Self.commit)\", \"siblings\": [\(files.joined(separator: ", "))]}"
  }
}
