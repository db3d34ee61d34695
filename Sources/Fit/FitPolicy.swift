import Foundation

/// The constants of a fit, except those of its search (``SearchPolicy``). Each has its unit and its origin; "chosen" means
/// that no study of it exists.
public struct FitPolicy: Sendable {
  /// Maximum tokens of a window. llama.cpp's default, which published divergences use.
  public var context = 512
  /// Windows for probes: at most 8192 scored positions. Chosen.
  public var probeWindows = 4...32
  /// Windows for the search, and for the last comparison. Chosen.
  public var judgingWindows = 4...256
  /// Passes over each part that the budget must cover. Chosen.
  public var passes = 60.0
  /// The share of the budget for sensitivities, which later targets reuse. Chosen.
  public var sensitivityShare = 0.5
  /// The search's share of the time that remains after sensitivities. The last comparison gets the rest. Chosen.
  public var searchShare = 0.8
  /// Number of stock mixes that a fit is compared with: the largest is not always the best.
  public var stockMixes = 3
  /// A stock mix may exceed the target by this factor. A target is often the size of a file of llama-quantize, which lacks
  /// the keys for provenance (one or two kilobytes).
  public var stockTolerance = 1.001

  /// Part of a given budget that the importance pass takes at most. Chosen.
  public var importanceShare = 0.25
  /// Part of the time for sensitivities that errors take at most. Chosen.
  public var errorShare = 0.2

  public init() {}

  /// Seconds for measuring and searching where none are given.
  ///
  /// As long as the importance pass and the encoding together, which have to be waited for anyway. A small model may take
  /// three times that, up to ten minutes, and a minute is always worth it.
  ///
  /// - Parameter work: seconds of the importance pass and of the encoding.
  package func autoBudget(_ work: Double) -> Double { max(work, min(600, max(60, 3 * work))) }

  /// Nanoseconds per weight and processor that encoding takes: the mean of all types in Documentation/benchmarks.md.
  static let encodingNanoseconds = 40.0

  /// Seconds of encoding for amounts of work, as ``nominalSpeed``.
  static func nominalEncoding(_ weights: Int) -> Double {
    Double(weights) * encodingNanoseconds * 1e-9 / Double(ProcessInfo.processInfo.activeProcessorCount)
  }

  /// Floating-point operations per second, for converting seconds to work. About the speed of a core with weights in its
  /// cache, times the number of processors (not of threads).
  public static let nominalSpeed = 2e10 * Double(ProcessInfo.processInfo.activeProcessorCount)
}
