import Foundation

/// The environment of the hub's other tools, as far as it applies: where the hub is, who asks, and what is stored already.
public struct HubSettings: Sendable {
  /// Scheme, host and port, without a final slash.
  public var endpoint: String
  /// Sent to the endpoint only. Never printed or written.
  var token: String?
  /// The cache of `hf download`.
  public var cache: String
  public var isOffline: Bool

  /// - Parameter environment: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE.
  /// - Throws: ``HubError/badEndpoint(_:)``
  public init(_ environment: [String: String] = ProcessInfo.processInfo.environment) throws(HubError) {
    func value(_ names: String...) -> String? { names.lazy.compactMap { environment[$0] }.first { !$0.isEmpty } }
    var endpoint = value("HF_ENDPOINT") ?? "https://huggingface.co"
    while endpoint.hasSuffix("/") { endpoint.removeLast() }
    guard Origin(endpoint) != nil else { throw .badEndpoint(endpoint) }
    self.endpoint = endpoint
    let caches = value("XDG_CACHE_HOME") ?? NSHomeDirectory() + "/.cache"
    let home = value("HF_HOME").map { NSString(string: $0).expandingTildeInPath } ?? caches + "/huggingface"
    cache =
      value("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE").map { NSString(string: $0).expandingTildeInPath } ?? home + "/hub"
    let file = value("HF_TOKEN_PATH") ?? home + "/token"
    let stored = FileManager.default.contents(atPath: file).map { String(decoding: $0, as: UTF8.self) }
    let token = (value("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") ?? stored)?
      .trimmingCharacters(in: .whitespacesAndNewlines)
    // A header of several lines would be a way to forge others.
    self.token = token.flatMap { $0.isEmpty || $0.contains(where: \.isNewline) ? nil : $0 }
    isOffline = ["1", "on", "yes", "true"].contains(value("HF_HUB_OFFLINE")?.lowercased())
  }
}

/// Scheme, host and port of an address. A token goes to one origin only.
package struct Origin: Hashable, Sendable {
  private let scheme: String
  private let host: String
  private let port: Int

  package init?(_ address: String) {
    guard let parts = URLComponents(string: address), let scheme = parts.scheme?.lowercased(),
      let host = parts.host?.lowercased(), !host.isEmpty, scheme == "http" || scheme == "https"
    else { return nil }
    self.scheme = scheme
    self.host = host
    port = parts.port ?? (scheme == "https" ? 443 : 80)
  }

  /// The host, with a port that is not the scheme's.
  var server: String { port == (scheme == "https" ? 443 : 80) ? host : "\(host):\(port)" }
}
