import Foundation

/// The constants by which a fit is made, but for those of its searches (``SearchPolicy``). Each says its unit and where it
/// comes from; where a note says "chosen", no study of it exists.
public struct FitPolicy: Sendable {
  /// Tokens of a window at most. llama.cpp's default, on which published divergences are measured.
  public var context = 512
  /// Windows for probes: at most 8192 scored positions. Chosen.
  public var probeWindows = 4...32
  /// Windows for the search, and for the last comparison. Chosen.
  public var judgingWindows = 4...256
  /// Passes over each part that the budget has to pay for. Chosen.
  public var passes = 60.0
  /// The share of the budget for sensitivities, which serve any later target, too. Chosen.
  public var sensitivityShare = 0.5
  /// The search's share of the time that is left after them. The remainder is for the last comparison. Chosen.
  public var searchShare = 0.8
  /// Stock mixes that a fit is compared with: a larger one is not always the better one.
  public var stockMixes = 3
  /// A stock mix counts as no larger than the target up to this factor: a target is often its size as llama-quantize writes
  /// it, without the keys that say how a file was made (a kilobyte or two).
  public var stockTolerance = 1.001

  public init() {}

  /// Floating-point operations a second that a budget of time is turned into amounts of work with: what cores do with
  /// weights in their caches. By processors, not threads.
  public static let nominalSpeed = 2e10 * Double(ProcessInfo.processInfo.activeProcessorCount)
}
