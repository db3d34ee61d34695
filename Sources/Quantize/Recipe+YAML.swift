import Tensors
import Yams

extension Recipe {
  /// Reads a recipe from YAML.
  ///
  /// - Parameters:
  ///   - file: the name of the text in messages.
  ///   - mixes: the types of a mix of another form than GGUF, in the order of the model's tensors; nil for other names.
  /// - Throws: ``RecipeError`` for invalid YAML, unknown keys, types or mixes, and invalid rules.
  public init(
    yaml: String, file: String, mixes: (String) -> [GGMLType]? = { _ in nil }
  ) throws(RecipeError) {
    func malformed(_ reason: String) -> RecipeError { .malformed(file: file, reason: reason) }
    let root: Node?
    do {
      root = try compose(yaml: yaml)
    } catch {
      // The first line of Yams's description has the position.
      throw malformed("is not YAML (\("\(error)".split(separator: "\n").first ?? ""))")
    }
    guard let mapping = root?.mapping else { throw malformed("is not a mapping of keys") }
    var name: String?
    var base: Base?
    var importance: Bool?
    var rules: [TypeRule] = []
    for (key, value) in mapping {
      switch key.string {
      case "name": name = value.string
      case "base":
        guard let type = value.string.flatMap({ GGMLType(name: $0) }) else {
          throw .within(file: file, .unknownType(rule: "base", type: value.string ?? "(a list)"))
        }
        base = .type(type)
      case "mix":
        if let mix = value.string.flatMap({ StockMix(name: $0) }) {
          base = .mix(mix, hasImportance: nil)
        } else if let types = value.string.flatMap(mixes) {
          base = .types(types)
        } else {
          throw malformed("unknown mix \(value.string ?? "(a list)")")
        }
      case "importance":
        guard let value = value.bool else { throw malformed("importance is not true or false") }
        importance = value
      case "rules":
        guard let list = value.sequence else { throw malformed("rules is not a list") }
        for entry in list {
          guard let text = entry.string else { throw malformed("a rule is not a text of the form REGEX=TYPE") }
          do { rules.append(try TypeRule(text)) } catch { throw .within(file: file, error) }
        }
      default: throw malformed("has the unknown key \(key.string ?? "(not a text)")")
      }
    }
    guard mapping["base"] == nil || mapping["mix"] == nil else { throw malformed("has both a base and a mix") }
    guard var base else { throw malformed("has neither a base nor a mix") }
    if case .mix(let mix, _) = base { base = .mix(mix, hasImportance: importance) }
    self.init(name: name, base: base, rules: rules)
  }

  /// The recipe as YAML for ``init(yaml:file:)``.
  public func yaml() throws -> String {
    var pairs: [(Node, Node)] = []
    if let name { pairs.append(("name", Node(name))) }
    switch base {
    case .type(let type): pairs.append(("base", Node(type.name)))
    case .types: throw RecipeError.malformed(file: name ?? "recipe", reason: "has no base or mix")
    case .mix(let mix, let importance):
      pairs.append(("mix", Node(mix.rawValue)))
      if let importance { pairs.append(("importance", Node(importance ? "true" : "false"))) }
    }
    if !rules.isEmpty {
      pairs.append(("rules", Node(rules.map { Node($0.description) })))
    }
    return try serialize(node: Node(pairs), width: -1)
  }
}
