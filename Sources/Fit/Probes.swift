import Blocks
import GGUF
import Perplexity
import Quantize
import Tensors
import Transformer

/// Measures the drift that rounding a group of tensors causes, end to end.
///
/// A probe is a mix that differs from the source in one group. So a probe of layers i to j starts from the reference's
/// hidden states before layer i, and in a layer that it does not round it shares the reading of the weights with the
/// reference and all other probes (``MixTrials``).
public struct Probes {
  public let source: any ModelSource
  public let importance: Importance?
  public let windows: ScoringWindows
  public var options: ForwardOptions
  /// The type that tensors are rounded to. Low enough to stand out from arithmetic noise, high enough that the errors of
  /// several tensors still add up.
  public var type: GGMLType = .q3_K

  public init(
    source: any ModelSource, importance: Importance?, windows: ScoringWindows, options: ForwardOptions
  ) {
    self.source = source
    self.importance = importance
    self.windows = windows
    self.options = options
  }

  /// The type that a probe gives a tensor.
  func probeType(_ tensor: TensorInfo) -> GGMLType {
    let fitting = type.fitting(columns: tensor.shape.columns)
    return fitting.canEncode ? fitting : .q8_0
  }

  /// KL divergence in nats of every group, in their order.
  ///
  /// - Parameter progress: called with the layers done, of how many; may throw to stop.
  func divergences(of groups: [ProbeGroup], progress: (Int, Int) throws -> Void) throws -> [Double] {
    let mixes = groups.map { group in
      let rounded = Set(group.tensors.map(\.name))
      return source.tensors.map { rounded.contains($0.name) ? probeType($0) : $0.type }
    }
    // A rounded tensor is read in one probe only.
    let trials = try MixTrials(source: source, importance: importance, options: options, keepsEncoded: false)
    // The mean of a divergence is never negative; arithmetic noise around zero may be.
    return try trials.drifts(of: mixes, windows: windows, progress: progress).map { max(0, $0.mean) }
  }
}
