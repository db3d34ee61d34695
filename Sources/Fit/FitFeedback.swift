import Blocks
import GGUF
import Imatrix
import Perplexity
import Quantize
import Tensors
import Tokenizers
import Transformer

/// The error feedback of a file: its text, its effort and its tensors.
public struct FitFeedback: Sendable {
  public let windows: ScoringWindows
  /// Names of the texts.
  public let names: [String]
  public let effort: FeedbackEffort
  /// The sections of layers, in each of which errors are fed on from the exact model's states; 1 for models whose layers
  /// do not depend on each other.
  public let sections: Int
  /// Names of the tensors that are encoded with feedback where their types take it.
  public let tensors: Set<String>

  /// - Parameter wants: whether to use feedback for a tensor, by its name.
  /// - Throws: `ForwardError` where the model has no forward pass.
  public init(
    of source: any ModelSource, windows: ScoringWindows, names: [String], effort: FeedbackEffort, sections: Int = 1,
    wants: (String) -> Bool = { _ in true }
  ) throws {
    let decoder = try Decoder(source)
    self.init(
      windows: windows, names: names, effort: effort, sections: decoder.runsPairs ? sections : 1,
      tensors: Set((decoder.layerMatrices + [decoder.output]).map(\.name).filter(wants)))
  }

  /// The windows of a text by which errors are fed back, and for which importance and states of the same run are measured.
  ///
  /// - Throws: `ScoringError` where the text is too short.
  public static func windows(of text: CalibrationText, for source: any ModelSource) throws -> ScoringWindows {
    let decoder = try Decoder(source)
    let context = min(FitPolicy().context, max(8, decoder.contextLength), decoder.textLimit?.positions ?? .max)
    return try text.windows(by: try Tokenizer(metadata: source.metadata), context: context)
  }

  private init(
    windows: ScoringWindows, names: [String], effort: FeedbackEffort, sections: Int, tensors: Set<String>
  ) {
    (self.windows, self.names, self.effort, self.sections, self.tensors) = (windows, names, effort, sections, tensors)
  }

  /// The same for other windows of the texts.
  public func with(_ windows: ScoringWindows) -> FitFeedback {
    FitFeedback(windows: windows, names: names, effort: effort, sections: sections, tensors: tensors)
  }

  var factors: FeedbackFactors { FeedbackFactors(tensors: tensors) }

  /// The provenance of importance that the pass of feedback computes.
  public var importance: ImportanceProvenance {
    ImportanceProvenance(
      file: "computed", dataset: names.joined(separator: " "), entries: 0, chunks: windows.windows.count)
  }

  /// The provenance of the feedback, for the header.
  public var provenance: FeedbackProvenance {
    FeedbackProvenance(
      dataset: names.joined(separator: " "), chunks: windows.windows.count, effort: effort.rawValue,
      fingerprint: windows.digest, sections: sections)
  }
}
