import Files
import Foundation
import GGUF
import Imatrix
import Perplexity
import Tokenizers
import Transformer

/// Calibration text in three disjoint parts, so that no measurement is taken on what chose its object:
///
/// - `probes`: sensitivities, and the single steps of exchanges;
/// - `search`: by which a search takes one mix over another;
/// - `final`: which only the last comparison sees, of what was found with the stock mixes.
public struct FitTexts: Sendable {
  public let probes: ScoringWindows
  /// nil where the text has fewer than three windows.
  public let search: ScoringWindows?
  /// nil where the text has only one window.
  public let final: ScoringWindows?
  /// Windows in the whole text, and tokens in each.
  public let windowCount: Int
  public let context: Int

  /// Windows that all three parts need together.
  public static let neededWindows = 3

  /// Cuts a text by its windows: of each four, two are for probes, one is for the search and one for the end, so that all
  /// parts have all kinds of text.
  ///
  /// - Parameters:
  ///   - seconds: what one window takes to run through the model.
  ///   - budget: seconds for everything. Of each part as much is used as it allows for the passes that measuring takes.
  public init(_ text: ScoringWindows, seconds: Double, budget: Double, policy: FitPolicy = FitPolicy()) {
    let count = text.windows.count
    windowCount = count
    context = text.context
    func part(_ indices: [Int], _ limits: ClosedRange<Int>) -> ScoringWindows? {
      let affordable = Int(max(0, min(1e6, budget / policy.passes / seconds)))
      let number = min(indices.count, max(limits.lowerBound, min(limits.upperBound, affordable)))
      guard number > 0 else { return nil }
      // Evenly spread over the text.
      return ScoringWindows(
        joining: (0..<number).map { indices[$0 * indices.count / number] }.map { text[$0..<$0 + 1] })
    }
    func every(_ residues: Set<Int>) -> [Int] { (0..<count).filter { residues.contains($0 % 4) } }
    // Of three windows, the third is the search's.
    probes = part(count == 3 ? [0] : every([0, 2]), policy.probeWindows) ?? text
    search = part(count == 3 ? [2] : every([3]), policy.judgingWindows)
    final = part(every([1]), policy.judgingWindows)
  }

  /// Cuts a calibration text for a model. Amounts go by the machine's number of processors: neither by `--threads` nor by
  /// the clock, so that the same command finds the same.
  public init(
    _ calibration: CalibrationText, for source: any ModelSource, options: ForwardOptions, budget: Double,
    policy: FitPolicy = FitPolicy()
  ) throws {
    let tokenizer = try Tokenizer(metadata: source.metadata)
    let trained = try Decoder(source).contextLength
    let all = try calibration.windows(by: tokenizer, context: min(policy.context, max(8, trained)))
    let pass = try ForwardPass(source: source, options: options)
    let seconds = try pass.plan(windows: 1, length: all.context).operations / FitPolicy.nominalSpeed
    self.init(all, seconds: seconds, budget: budget, policy: policy)
  }
}

extension CalibrationText {
  /// All texts as one stream of tokens, cut into windows; `limit` keeps as many, evenly spread over the texts.
  public func windows(by tokenizer: Tokenizer, context: Int, limit: Int? = nil) throws -> ScoringWindows {
    let tokens = sources.flatMap { source in
      source.documents.flatMap { tokenizer.encode($0, addSpecial: false) }
    }
    let bos = tokenizer.addsBOS ? tokenizer.bos : nil
    let name = names.count == 1 ? names[0] : "\(names.count) calibration texts"
    let all = try ScoringWindows(tokens: tokens, context: context, bos: bos, name: name)
    guard let limit, limit < all.windows.count else { return all }
    return ScoringWindows(
      joining: (0..<limit).map { index in
        let window = index * all.windows.count / limit
        return all[window..<window + 1]
      })
  }
}

extension ScoringWindows {
  /// SHA-256 of all tokens and of which are scored.
  public var digest: String {
    var digest = DataDigest()
    digest.update(Array("\(context) \(scored)\n".utf8).span.bytes)
    for window in windows { digest.update(window.span.bytes) }
    return digest.hex()
  }
}
