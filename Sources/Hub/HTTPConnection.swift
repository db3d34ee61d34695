import CCurl
import Foundation

/// An answer without its body.
package struct HTTPAnswer: Sendable {
  /// 0 if no answer came.
  package var status = 0
  /// By lowercase name; of repeated ones the last.
  package var headers: [String: String] = [:]
  /// Why the transfer ended early; nil if it did not.
  package var fault: String?
  /// Seconds from the request to the end of the transfer.
  package var seconds = 0.0
  /// The asked host, with a port that is not the scheme's.
  package var server = ""

  package init(status: Int = 0) { self.status = status }
}

/// A connection by libcurl, which stays open between requests.
///
/// Unsafe: libcurl's calls. Unchecked: one thread at a time uses a connection (``HTTPConnections``).
final class HTTPConnection: @unchecked Sendable {
  private let handle: UnsafeMutableRawPointer

  init() {
    guard let handle = ccurl_easy_init() else { fatalError("libcurl has no memory for a connection") }
    self.handle = handle
    let agent = "qtool"
    _ = ccurl_set_string(handle, CURLOPT_USERAGENT, agent)
    for (option, value) in [
      (CURLOPT_NOSIGNAL, 1), (CURLOPT_FOLLOWLOCATION, 0), (CURLOPT_CONNECTTIMEOUT, 20), (CURLOPT_LOW_SPEED_LIMIT, 1),
      (CURLOPT_LOW_SPEED_TIME, 30), (CURLOPT_TCP_KEEPALIVE, 1), (CURLOPT_BUFFERSIZE, 256 << 10),
      // Versions of HTTP that send several answers through one connection gain nothing here.
      (CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1)),
    ] { _ = ccurl_set_long(handle, option, value) }
    // Never of a netrc file: tokens come from the settings alone.
    _ = ccurl_set_long(handle, CURLOPT_NETRC, 0)
  }

  deinit { ccurl_easy_cleanup(handle) }

  /// Whether this machine has libcurl. No connection can be made without.
  static var isAvailable: Bool { ccurl_load() != 0 }

  /// The answer that the callbacks of a request fill.
  private final class Transfer {
    var answer = HTTPAnswer()
    let accept: (HTTPAnswer, UnsafeRawBufferPointer) -> Bool
    init(_ accept: @escaping (HTTPAnswer, UnsafeRawBufferPointer) -> Bool) { self.accept = accept }

    func header(_ line: String) {
      if line.hasPrefix("HTTP/") {
        // A proxy's answer, or an interim one, comes before the final one.
        answer = HTTPAnswer(status: Int(line.split(separator: " ").dropFirst().first ?? "") ?? 0)
      } else if let colon = line.firstIndex(of: ":") {
        answer.headers[line[..<colon].lowercased()] =
          line[line.index(after: colon)...].trimmingCharacters(in: .whitespacesAndNewlines)
      }
    }
  }

  /// Gets an address.
  ///
  /// - Parameters:
  ///   - headers: lines such as `Range: bytes=0-9`.
  ///   - receive: gets the body's parts with the answer; false ends the transfer.
  func get(
    _ address: String, headers: [String], receive: @escaping (HTTPAnswer, UnsafeRawBufferPointer) -> Bool
  ) -> HTTPAnswer {
    let transfer = Transfer(receive)
    var list: UnsafeMutablePointer<curl_slist>?
    for line in headers { list = ccurl_slist_append(list, line) }
    defer { ccurl_slist_free_all(list) }
    _ = ccurl_set_string(handle, CURLOPT_URL, address)
    _ = ccurl_set_list(handle, CURLOPT_HTTPHEADER, list)
    let context = Unmanaged.passUnretained(transfer).toOpaque()
    _ = ccurl_set_pointer(handle, CURLOPT_WRITEDATA, context)
    _ = ccurl_set_pointer(handle, CURLOPT_HEADERDATA, context)
    _ = ccurl_set_sink(handle, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
      guard let bytes, let context else { return 0 }
      let raw = UnsafeRawBufferPointer(start: bytes, count: size * count)
      Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().header(String(decoding: raw, as: UTF8.self))
      return size * count
    }
    _ = ccurl_set_sink(handle, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
      guard let bytes, let context else { return 0 }
      let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
      let raw = UnsafeRawBufferPointer(start: bytes, count: size * count)
      return transfer.accept(transfer.answer, raw) ? size * count : 0
    }
    // The transfer is used below, and so lives until the end of the call.
    let code = ccurl_easy_perform(handle)
    _ = ccurl_set_list(handle, CURLOPT_HTTPHEADER, nil)
    if code != CURLE_OK, transfer.answer.fault == nil {
      transfer.answer.fault = String(cString: ccurl_easy_strerror(code))
    }
    return transfer.answer
  }
}

/// Open connections. A request takes one that is free, or a new one.
final class HTTPConnections: Sendable {
  private let free = LockedList<HTTPConnection>()

  func get(
    _ address: String, headers: [String], receive: @escaping (HTTPAnswer, UnsafeRawBufferPointer) -> Bool
  ) -> HTTPAnswer {
    let connection = free.pop() ?? HTTPConnection()
    defer { free.push(connection) }
    return connection.get(address, headers: headers, receive: receive)
  }
}
