import Foundation

/// The components of a Hugging Face model id such as `Qwen/Qwen2.5-Coder-32B-Instruct`.
///
/// The parts between hyphens are versions (`v1.5`), sizes (`8x7B`, `mini`), types (`Q4_K`) or names. Leading names are
/// the base name, later ones belong to the fine-tune. The rules are the reference converter's, so that both give the
/// same keys.
struct ModelName: Equatable {
  private(set) var fullName: String
  private(set) var organization: String?
  private(set) var basename: String?
  private(set) var finetune: String?
  private(set) var version: String?
  private(set) var sizeLabel: String?

  private enum Kind { case basename, sizeLabel, finetune, version, type }

  /// - Parameter parameters: the model's parameter count, which tells sizes from context lengths (`128k`).
  init(_ id: String, parameters: Int) {
    fullName = id
    guard !id.contains(" ") else { return }
    if let slash = id.firstIndex(of: "/") {
      fullName = String(id[id.index(after: slash)...])
      let owner = String(id[..<slash])
      organization = owner.hasPrefix(".") ? nil : owner
    }
    var parts = fullName.split(separator: "-").map(String.init)
    var kinds = [Set<Kind>](repeating: [], count: parts.count)
    for index in parts.indices { (parts[index], kinds[index]) = Self.annotate(parts[index], index, parameters) }
    Self.dropWordSizes(parts, &kinds)
    Self.markBase(parts, &kinds)
    func joined(_ kind: Kind, _ isIn: (Set<Kind>) -> Bool = { _ in true }) -> String? {
      var seen = Set<String>()
      let chosen = zip(parts, kinds).filter { $1.contains(kind) && isIn($1) }.map(\.0)
      let unique = kind == .sizeLabel ? chosen.filter { seen.insert($0).inserted } : chosen
      return unique.isEmpty ? nil : unique.joined(separator: "-")
    }
    basename = joined(.basename)
    sizeLabel = joined(.sizeLabel)
    finetune = joined(.finetune)
    version = joined(.version) { !$0.contains(.basename) }
    // Without other components the base name is not certain.
    if sizeLabel == nil, finetune == nil, version == nil { basename = nil }
  }

  private static func annotate(_ part: String, _ index: Int, _ parameters: Int) -> (String, Set<Kind>) {
    func matches(_ pattern: Regex<some Any>) -> Bool { part.wholeMatch(of: pattern.ignoresCase()) != nil }
    if matches(/(v|iter)?\d+([.]\d+)*/) { return (part, [.version]) }
    if matches(/i?q\d(_\w)*|b?fp?(16|32)/) { return (part.uppercased(), [.type]) }
    guard index > 0 else { return (part, []) }
    if matches(/(([A]|\d+[x])?\d+([._]\d+)?[KMBT][\d]?|small|mini|medium|large|x?xl)/) {
      return size(part.replacing("_", with: "."), parameters)
    }
    return (part, matches(/chat|instruct|vision|lora/) ? [.finetune] : [])
  }

  private static func size(_ written: String, _ parameters: Int) -> (String, Set<Kind>) {
    var part = Array(written)
    // bloom-7b1 means 7.1B.
    if let digit = part.last, digit.isNumber, part.count > 1 {
      part = part.dropLast(2) + [".", digit, part[part.count - 2]]
    }
    if part.count > 1, part[part.count - 2].isNumber, "kmbt".contains(part[part.count - 1]) {
      part[part.count - 1] = Character(part[part.count - 1].uppercased())
    }
    let powers: [Character: Double] = ["K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12]
    if parameters > 0, let unit = part.last, let power = powers[unit], let value = Double(String(part.dropLast())) {
      // A number far from the model's size is a context length.
      if abs(value * power - Double(parameters)) > Double(7 * parameters / 8) {
        return (String(part.dropLast()) + unit.lowercased(), [.finetune])
      }
    }
    return (String(part), [.sizeLabel])
  }

  /// Drops sizes in words (`mini`) if there is a size in digits.
  private static func dropWordSizes(_ parts: [String], _ kinds: inout [Set<Kind>]) {
    let sizes = parts.indices.filter { kinds[$0].contains(.sizeLabel) }
    guard sizes.contains(where: { parts[$0].contains(where: \.isNumber) }) else { return }
    for index in sizes where parts[index].allSatisfy(\.isLetter) { kinds[index].remove(.sizeLabel) }
  }

  private static func markBase(_ parts: [String], _ kinds: inout [Set<Kind>]) {
    var atStart = true
    for index in parts.indices {
      let isName = kinds[index].isEmpty && parts[index].first?.isLetter == true
      if atStart, isName || kinds[index].contains(.version) {
        kinds[index].insert(.basename)
      } else {
        atStart = false
        if kinds[index].isEmpty { kinds[index].insert(.finetune) }
      }
    }
    for index in parts.indices.reversed() {
      guard kinds[index].contains(.basename), kinds[index].count > 1 else { break }
      kinds[index].remove(.basename)
    }
  }

  /// The title of a name such as `llama-3-8b-chat`: lower-case words get a capital, versions and numbers are kept.
  static func title(_ id: String) -> String {
    id.replacing("-", with: " ").split(whereSeparator: \.isWhitespace).map { word -> String in
      let hasLower = word.contains(where: \.isLowercase)
      let isLower = hasLower && !word.contains(where: \.isUppercase)
      guard isLower, word.wholeMatch(of: /(v\d+(\.\d+)*|\d.*)/) == nil else { return String(word) }
      var afterLetter = false
      return word.reduce(into: "") { title, character in
        title += afterLetter || !character.isLetter ? String(character) : character.uppercased()
        afterLetter = character.isLetter
      }
    }.joined(separator: " ")
  }
}
