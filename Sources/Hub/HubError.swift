/// Reasons why a model of the hub can't be read.
public enum HubError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A text that is not `hf:ORG/NAME[@REVISION][/FILE]`.
  case badReference(String)
  /// An address that is not `http://…` or `https://…`.
  case badEndpoint(String)
  /// No repository of the name, or a private one.
  case noRepository(String, hasToken: Bool)
  /// The owner has not granted access.
  case gated(String, hasToken: Bool)
  /// The token is not valid.
  case badToken(String)
  case noRevision(String, revision: String)
  case noFile(String)
  /// Without a network, and not in the cache.
  case offline(String, cache: String)
  /// The server sends whole files only.
  case noRanges(String)
  /// A file has other bytes than the hub names.
  case changed(String, reason: String)
  /// The bytes of a file that was read whole do not have its digest.
  case damaged(String)
  /// The hub's answer is not what the interface says.
  case badAnswer(String, reason: String)
  /// All attempts failed.
  case unreachable(String, reason: String)
  /// The machine has no libcurl.
  case noCurl(String)
  /// The run is being stopped.
  case stopped(String)

  public var description: String {
    switch self {
    case .badReference(let text): "\(text): is not hf:ORG/NAME[@REVISION][/FILE]"
    case .badEndpoint(let text): "HF_ENDPOINT \(text): is not the address of a server"
    case .noRepository(let name, let hasToken):
      "\(name): no such repository" + (hasToken ? "" : ", or a private one, for which there is no token")
    case .gated(let name, let hasToken):
      "\(name): its owners have not granted access" + (hasToken ? " to the owner of this token" : "; there is no token")
    case .badToken(let name): "\(name): the hub does not accept the token"
    case .noRevision(let name, let revision): "\(name): no revision \(revision)"
    case .noFile(let name): "\(name): no such file in the repository"
    case .offline(let name, let cache): "\(name): HF_HUB_OFFLINE is set, and \(cache) does not have it"
    case .damaged(let name): "\(name): the bytes that the server sent do not match the SHA-256 in the listing"
    case .noRanges(let name): "\(name): the server does not send parts of files"
    case .changed(let name, let reason), .badAnswer(let name, let reason), .unreachable(let name, let reason):
      "\(name): \(reason)"
    case .noCurl(let name): "\(name): this machine has no libcurl, which reads from the hub"
    case .stopped(let name): "\(name): interrupted"
    }
  }
}
