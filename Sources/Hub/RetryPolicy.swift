import Foundation

/// How often a request is repeated, and when.
public struct RetryPolicy: Sendable {
  /// Attempts without a single new byte.
  public var attempts = 8
  /// Seconds before the second attempt, at most; doubled for each further one.
  public var firstDelay = 0.5
  /// Seconds, at most, unless the server names a time.
  public var maximumDelay = 30.0
  /// Seconds that a server may ask to wait.
  public var maximumRequestedDelay = 600.0

  public init() {}

  /// Seconds from a failed attempt to the last one, at most, if all answers are like its answer.
  package func maximumSeconds(after failures: Int, _ answer: HTTPAnswer) -> Double {
    (failures..<max(failures, attempts)).reduce(0) { $0 + delay(after: $1, answer, random: 1) + answer.seconds }
  }

  /// Seconds to wait after an attempt that failed.
  ///
  /// - Parameters:
  ///   - failures: attempts that have failed in a row.
  ///   - random: from 0 to 1. It spreads the requests of many runs.
  package func delay(after failures: Int, _ answer: HTTPAnswer?, random: Double, now: Date = Date()) -> Double {
    if let requested = answer.flatMap({ Self.requestedDelay($0, now: now) }) {
      // The jitter comes on top: the server means at least that long.
      return min(requested, maximumRequestedDelay) + random * firstDelay
    }
    let bound = min(maximumDelay, firstDelay * pow(2, Double(max(0, failures - 1))))
    return bound * (0.5 + random / 2)
  }

  /// The time of `Retry-After` (seconds or a date), or of `RateLimit: "name";r=0;t=55` when nothing remains.
  static func requestedDelay(_ answer: HTTPAnswer, now: Date) -> Double? {
    if let text = answer.headers["retry-after"] {
      if let seconds = Double(text), seconds.isFinite { return max(0, seconds) }
      let formatter = DateFormatter()
      formatter.locale = Locale(identifier: "en_US_POSIX")
      formatter.timeZone = TimeZone(identifier: "GMT")
      formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
      if let date = formatter.date(from: text) { return max(0, date.timeIntervalSince(now)) }
    }
    guard answer.status == 429, let limit = answer.headers["ratelimit"] else { return nil }
    let fields = limit.split(separator: ";").map { $0.trimmingCharacters(in: .whitespaces) }
    guard let text = fields.first(where: { $0.hasPrefix("t=") })?.dropFirst(2), let seconds = Double(text) else {
      return nil
    }
    return max(0, seconds)
  }
}
