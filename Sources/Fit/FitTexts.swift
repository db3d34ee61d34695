import Files
import Foundation
import GGUF
import Imatrix
import Perplexity
import Tokenizers
import Transformer

/// Calibration text in three disjoint parts, so that no mix is measured on the text that chose it:
///
/// - `probes`: for sensitivities and for the single steps of exchanges;
/// - `search`: for the candidates of the search;
/// - `final`: for the last comparison only.
public struct FitTexts: Sendable {
  public let probes: ScoringWindows
  /// nil if the text has fewer than three windows.
  public let search: ScoringWindows?
  /// nil if the text has only one window.
  public let final: ScoringWindows?
  /// All windows that are not in `final`: the text of error feedback, whose drift is lower on its own text than elsewhere.
  public let feedback: ScoringWindows
  /// Number of windows in the whole text, and tokens in each.
  public let windowCount: Int
  public let context: Int
  /// Seconds for measuring and searching.
  public let budget: Double

  /// Minimum number of windows for all three parts.
  static let neededWindows = 3

  /// Cuts a text by its windows. Of each four, two are for probes, one is for the search and one for the last comparison,
  /// so that every part has all kinds of text.
  ///
  /// - Parameters:
  ///   - seconds: time of a forward pass over one window.
  ///   - budget: seconds for all measurements; limits the windows of each part.
  package init(_ text: ScoringWindows, seconds: Double, budget: Double, policy: FitPolicy = FitPolicy()) {
    let count = text.windows.count
    self.budget = budget
    windowCount = count
    context = text.context
    func joined(_ indices: [Int]) -> ScoringWindows { ScoringWindows(joining: indices.map { text[$0..<$0 + 1] }) }
    func part(_ indices: [Int], _ limits: ClosedRange<Int>) -> [Int]? {
      let affordable = Int(max(0, min(1e6, budget / policy.passes / seconds)))
      let number = min(indices.count, max(limits.lowerBound, min(limits.upperBound, affordable)))
      guard number > 0 else { return nil }
      // Spread evenly over the text.
      return (0..<number).map { indices[$0 * indices.count / number] }
    }
    func every(_ residues: Set<Int>) -> [Int] { (0..<count).filter { residues.contains($0 % 4) } }
    // With three windows, the third is for the search.
    probes = part(count == 3 ? [0] : every([0, 2]), policy.probeWindows).map(joined) ?? text
    search = part(count == 3 ? [2] : every([3]), policy.judgingWindows).map(joined)
    let last = part(every([1]), policy.judgingWindows)
    final = last.map(joined)
    feedback = joined((0..<count).filter { last?.contains($0) != true })
  }

  /// Cuts a calibration text for a model. The number of windows depends on the machine's processors, but neither on the
  /// number of threads nor on the clock, so that a repeated run gives the same result.
  public init(
    _ calibration: CalibrationText, for source: any ModelSource, options: ForwardOptions, budget: Double?,
    policy: FitPolicy = FitPolicy()
  ) throws {
    let tokenizer = try Tokenizer(metadata: source.metadata)
    let trained = try Decoder(source).contextLength
    let all = try calibration.windows(by: tokenizer, context: min(policy.context, max(8, trained)))
    let pass = try ForwardPass(source: source, options: options)
    let operations = try pass.plan(windows: 1, length: all.context).operations
    let weights = source.tensors.reduce(0) { $0 + $1.shape.count }
    let work =
      operations * Double(all.windows.count) / FitPolicy.nominalSpeed + FitPolicy.nominalEncoding(weights)
    self.init(
      all, seconds: operations / FitPolicy.speed(isGiven: budget != nil), budget: budget ?? policy.autoBudget(work),
      policy: policy)
  }
}

extension CalibrationText {
  /// All texts as one stream of tokens, cut into windows. `limit` keeps that many, spread evenly over the texts.
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
  /// SHA-256 of the tokens, the context size and the scored positions.
  public var digest: String {
    var digest = DataDigest()
    digest.update(Array("\(context) \(scored)\n".utf8).span.bytes)
    for window in windows { digest.update(window.span.bytes) }
    return digest.hex()
  }
}
