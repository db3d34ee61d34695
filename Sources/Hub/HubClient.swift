import Foundation
import Synchronization

/// Requests to a hub, with its token, its errors and their repetition.
public final class HubClient: Sendable {
  let settings: HubSettings
  let policy: RetryPolicy
  private let connections = HTTPConnections()
  /// Whether the run is being stopped, so that nothing is repeated.
  private let isStopped: @Sendable () -> Bool
  private let onWait: @Sendable (HubWait) -> Void
  private let lastWait = Mutex<ContinuousClock.Instant?>(nil)
  private let totals = Mutex(HubTraffic())

  /// - Parameters:
  ///   - isStopped: whether the run is being stopped.
  ///   - onWait: hears of a server that does not answer, or answers with errors, at most once a minute. Any thread calls it.
  public init(
    _ settings: HubSettings, policy: RetryPolicy = RetryPolicy(),
    isStopped: @escaping @Sendable () -> Bool = { false }, onWait: @escaping @Sendable (HubWait) -> Void = { _ in }
  ) {
    self.settings = settings
    self.policy = policy
    self.isStopped = isStopped
    self.onWait = onWait
  }

  /// Requests and bytes so far.
  public var traffic: HubTraffic { totals.withLock { $0 } }

  func count(_ change: (inout HubTraffic) -> Void) { totals.withLock { change(&$0) } }

  var hasToken: Bool { settings.token != nil }

  /// Gets an address. The token is sent to the endpoint's origin only.
  func get(
    _ address: String, range: Range<Int>? = nil, receive: @escaping (HTTPAnswer, UnsafeRawBufferPointer) -> Bool
  ) -> HTTPAnswer {
    // Identity: a compressed body has other offsets.
    var headers = ["Accept-Encoding: identity"]
    if let range { headers.append("Range: bytes=\(range.lowerBound)-\(range.upperBound - 1)") }
    let origin = Origin(address)
    if let token = settings.token, origin == Origin(settings.endpoint) {
      headers.append("Authorization: Bearer \(token)")
    }
    count { $0.requests += 1 }
    let began = ContinuousClock.now
    var answer = connections.get(address, headers: headers, receive: receive)
    answer.seconds = (ContinuousClock.now - began) / .seconds(1)
    answer.server = origin?.server ?? ""
    return answer
  }

  /// Waits before an attempt is repeated.
  ///
  /// - Throws: ``HubError/unreachable(_:reason:)`` after the last attempt, ``HubError/stopped(_:)``.
  func wait(_ name: String, after failures: Int, _ answer: HTTPAnswer) throws(HubError) {
    guard !isStopped() else { throw .stopped(name) }
    guard failures < policy.attempts else { throw .unreachable(name, reason: Self.reason(answer)) }
    count { $0.retries += 1 }
    var remaining = policy.delay(after: failures, answer, random: .random(in: 0...1))
    tell(answer, after: failures, delay: remaining)
    while remaining > 0 {
      Thread.sleep(forTimeInterval: min(remaining, 0.2))
      remaining -= 0.2
      guard !isStopped() else { throw .stopped(name) }
    }
  }

  /// Tells of a wait that looks like a stall. Single errors are repeated at once, and several requests wait together.
  private func tell(_ answer: HTTPAnswer, after failures: Int, delay: Double) {
    guard answer.status == 0 || failures >= 3 || delay >= 2 else { return }
    let now = ContinuousClock.now
    let isDue = lastWait.withLock { last in
      if let told = last, now - told < .seconds(60) { return false }
      last = now
      return true
    }
    guard isDue else { return }
    onWait(
      HubWait(
        server: answer.server, status: answer.status, reason: Self.reason(answer),
        seconds: policy.maximumSeconds(after: failures, answer)))
  }

  /// Why an attempt failed, without addresses: those of redirects are secrets.
  static func reason(_ answer: HTTPAnswer) -> String {
    if answer.status >= 300 { return "the server answers \(answer.status)" }
    return answer.fault ?? "the server sends too few bytes"
  }

  /// The error of an answer that no repetition changes; nil for others.
  ///
  /// - Parameters:
  ///   - name: the repository, or one of its files.
  ///   - revision: the requested revision.
  func refusal(_ answer: HTTPAnswer, _ name: String, repository: String, revision: String) -> HubError? {
    let code = answer.headers["x-error-code"]
    switch (answer.status, code) {
    case (400..<500, "GatedRepo"): return .gated(repository, hasToken: hasToken)
    case (400..<500, "RepoNotFound"): return .noRepository(repository, hasToken: hasToken)
    case (400..<500, "RevisionNotFound"): return .noRevision(repository, revision: revision)
    case (400..<500, "EntryNotFound"): return .noFile(name)
    case (401, _): return hasToken ? .badToken(repository) : .noRepository(repository, hasToken: false)
    case (403, _): return .gated(repository, hasToken: hasToken)
    case (404, _), (410, _): return .noFile(name)
    case (408, _), (425, _), (429, _): return nil
    case (400..<500, _): return .badAnswer(name, reason: "the server answers \(answer.status)")
    default: return nil
    }
  }
}

/// A failed attempt that is repeated.
public struct HubWait: Sendable, Equatable {
  /// The host that was asked, with a port that is not the scheme's.
  public let server: String
  /// The status of its answer; 0 if there was none.
  public let status: Int
  /// The cause of the failure, without addresses.
  public let reason: String
  /// Seconds until the last attempt, at most.
  public let seconds: Double
}

/// Counts of a client's requests.
public struct HubTraffic: Sendable, Equatable {
  public var requests = 0
  /// Attempts that were repeated.
  public var retries = 0
  /// Bytes of all ranges that were answered, in whole or in part.
  public var requestedBytes = 0
  /// Bytes that came and were used.
  public var receivedBytes = 0
  /// Bytes that readers asked for.
  public var neededBytes = 0
}
