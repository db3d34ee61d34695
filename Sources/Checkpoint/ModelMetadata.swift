import Files
import Foundation
import GGUF
import Tensors

/// All GGUF keys of a model except the tokenizer's.
///
/// - Parameters:
///   - name: the directory's name.
///   - directory: the directory with generation_config.json; nil if only config.json exists.
///   - card: the model card; nil if there is none.
func modelMetadata(
  _ architecture: String, name: String, _ tensors: [TensorInfo], _ hyperparameters: Metadata, config: Config,
  directory: String? = nil, card: ModelCard? = nil
) throws -> Metadata {
  let parameters = tensors.reduce(0) { $0 + $1.shape.count }
  var metadata: Metadata = [
    "general.architecture": .string(architecture),
    "general.type": .string("model"),
  ]
  if let directory { metadata.merge(try samplingDefaults(directory)) { $1 } }
  var about = Authorship(parameters: parameters)
  if let card { about.add(card) }
  // A model id has at most one slash; more make it a local path.
  if let id = config["_name_or_path"]?.string, !id.isEmpty,
    id.split(separator: "/", omittingEmptySubsequences: false).count <= 2
  {
    about.add(ModelName(id, parameters: parameters))
  }
  about.add(ModelName(name, parameters: parameters))
  metadata.merge(about.metadata(sizeLabel: sizeLabel(tensors))) { $1 }
  metadata.merge(hyperparameters) { $1 }
  metadata["general.quantization_version"] = .uint32(2)
  return metadata
}

/// The model's names, authors, origins and license.
private struct Authorship {
  let parameters: Int
  private var fields: [String: String] = [:]
  private var baseModels: [[(String, String)]]?
  private var datasets: [[(String, String)]]?
  private var tags: [String] = []
  private var languages: [String] = []

  init(parameters: Int) { self.parameters = parameters }

  private mutating func set(_ key: String, _ value: String?) {
    if fields[key] == nil, let value { fields[key] = value }
  }

  mutating func add(_ card: ModelCard) {
    set("name", card.string("name", "model_name"))
    set("author", card.string("author", "model_author", "model_creator"))
    set("basename", card.string("basename", "model_basename", "model_type"))
    for key in ["version", "organization", "description", "finetune", "size_label"] {
      set(key, card.string(key, "model_" + key))
    }
    for key in ["url", "doi", "uuid", "repo_url"] { set("source." + key, card.string(key, "model_" + key)) }
    set("license", card.license)
    set("license.name", card.string("license_name"))
    set("license.link", card.string("license_link"))
    func entries(_ keys: [String]) -> [[(String, String)]]? {
      keys.lazy.map { card.strings($0) }.first { !$0.isEmpty }.map { $0.map(origin) }
    }
    baseModels = entries(["base_model", "base_models", "base_model_sources"])
    datasets = entries(["datasets", "dataset", "dataset_sources"])
    tags = card.strings("tags", "pipeline_tag")
    languages = card.strings("languages", "language")
  }

  mutating func add(_ name: ModelName) {
    set("name", ModelName.title(name.fullName))
    set("organization", name.organization.map(ModelName.title))
    set("basename", name.basename)
    set("finetune", name.finetune)
    set("version", name.version)
    set("size_label", name.sizeLabel)
  }

  /// The keys that follow from the id or address of a model or data set.
  private func origin(_ id: String) -> [(String, String)] {
    var result: [(String, String)] = []
    var id = id
    let isAddress = ["http://", "https://", "ssh://"].contains { id.hasPrefix($0) }
    if isAddress {
      result.append(("repo_url", id))
      guard let match = id.wholeMatch(of: /https?:\/\/huggingface.co\/([^\/]+\/[^\/]+)/) else { return result }
      id = String(match.1)
    }
    let name = ModelName(id, parameters: parameters)
    result.append(("name", ModelName.title(name.fullName)))
    if let version = name.version { result.append(("version", version)) }
    if let organization = name.organization {
      result.append(("organization", ModelName.title(organization)))
      if !isAddress { result.append(("repo_url", "https://huggingface.co/\(organization)/\(name.fullName)")) }
    }
    return result
  }

  func metadata(sizeLabel: String) -> Metadata {
    var metadata = Metadata()
    for key in [
      "name", "author", "version", "organization", "finetune", "basename", "description", "size_label", "license",
      "license.name", "license.link", "source.url", "source.doi", "source.uuid", "source.repo_url",
    ] {
      let value = fields[key] ?? (key == "size_label" ? sizeLabel : nil)
      if let value { metadata["general." + key] = .string(value) }
    }
    for (key, entries) in [("base_model", baseModels), ("dataset", datasets)] {
      guard let entries else { continue }
      metadata["general.\(key).count"] = .uint32(UInt32(entries.count))
      for (index, entry) in entries.enumerated() {
        for (field, value) in entry { metadata["general.\(key).\(index).\(field)"] = .string(value) }
      }
    }
    if !tags.isEmpty { metadata["general.tags"] = .array(.string(tags)) }
    if !languages.isEmpty { metadata["general.languages"] = .array(.string(languages)) }
    return metadata
  }
}

/// GGUF's sampling keys, with their names in generation_config.json.
private let samplingKeys: [(key: String, sources: [String], isInteger: Bool)] = [
  ("top_k", ["top_k"], true), ("top_p", ["top_p"], false), ("min_p", ["min_p"], false),
  ("xtc_probability", ["xtc_probability"], false), ("xtc_threshold", ["xtc_threshold"], false),
  ("temp", ["temperature"], false), ("penalty_last_n", ["penalty_last_n"], true),
  ("penalty_repeat", ["penalty_repeat", "repetition_penalty"], false), ("mirostat", ["mirostat"], true),
  ("mirostat_tau", ["mirostat_tau"], false), ("mirostat_eta", ["mirostat_eta"], false),
]

/// generation_config.json; nil if it is not valid JSON.
private func generationConfig(_ directory: String) throws(TextError) -> JSONValue? {
  do {
    return try JSONValue.read(directory + "/generation_config.json", limit: 1 << 20)
  } catch let error as TextError {
    throw error
  } catch {
    return nil
  }
}

/// The tokens that a model is not to generate, by generation_config.json.
func suppressedTokens(_ directory: String) throws(TextError) -> Metadata {
  let tokens = try generationConfig(directory)?["suppress_tokens"]?.array?.compactMap {
    $0.int.flatMap(Int32.init(exactly:))
  }
  guard let tokens, !tokens.isEmpty else { return [:] }
  return ["tokenizer.ggml.suppress_tokens": .array(.int32(tokens))]
}

/// The sampling keys of generation_config.json.
private func samplingDefaults(_ directory: String) throws(TextError) -> Metadata {
  guard let config = try generationConfig(directory) else { return [:] }
  var metadata = Metadata()
  if let sequence = config["sequence"]?.string { metadata["general.sampling.sequence"] = .string(sequence) }
  for (key, sources, isInteger) in samplingKeys {
    guard let value = sources.lazy.compactMap({ config[$0] }).first(where: { $0 != .null }) else { continue }
    metadata["general.sampling." + key] = sampling(value, isInteger: isInteger)
  }
  return metadata
}

private func sampling(_ value: JSONValue, isInteger: Bool) -> MetadataValue? {
  if isInteger { return value.int.flatMap(Int32.init(exactly:)).map { .int32($0) } }
  return value.double.map { .float32(Float($0)) }
}

/// Reads keys that replace a model's own: a JSON object of `general.*` keys, the format of the reference converter's
/// `--metadata`.
///
/// - Throws: `FormatError` if the file is not such an object, or a key cannot be overridden.
public func metadataOverrides(path: String) throws -> Metadata {
  guard let fields = try JSONValue.read(path, limit: 16 << 20).object else {
    throw FormatError(path: path, "is not a JSON object")
  }
  let strings = [
    "name", "author", "version", "organization", "finetune", "basename", "description", "quantized_by", "size_label",
    "license", "license.name", "license.link", "url", "doi", "uuid", "repo_url", "source.url", "source.doi",
    "source.uuid", "source.repo_url", "sampling.sequence",
  ]
  var metadata = Metadata()
  for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
    func failure(_ reason: String, hint: String? = nil) -> FormatError {
      FormatError(path: path, subject: "key \(key)", reason, hint: hint)
    }
    let short = key.hasPrefix("general.") ? String(key.dropFirst(8)) : ""
    if strings.contains(short) {
      guard let text = value.string else { throw failure("is not a string") }
      metadata[key] = .string(text)
    } else if short == "tags" || short == "languages" {
      guard let texts = value.array?.compactMap(\.string), texts.count == value.array?.count else {
        throw failure("is not an array of strings")
      }
      metadata[key] = .array(.string(texts))
    } else if let sampled = samplingKeys.first(where: { "sampling." + $0.key == short }) {
      guard let number = sampling(value, isInteger: sampled.isInteger) else { throw failure("is not a number") }
      metadata[key] = number
    } else if short == "base_models" || short == "datasets" {
      try origins(value, as: "general." + short.dropLast(), into: &metadata, failure)
    } else {
      throw failure("cannot be overridden", hint: "known: " + strings.map { "general." + $0 }.joined(separator: ", "))
    }
  }
  return metadata.asStored
}

private func origins(
  _ value: JSONValue, as name: String, into metadata: inout Metadata, _ failure: (String, String?) -> FormatError
) throws {
  guard let entries = value.array else { throw failure("is not an array of objects", nil) }
  metadata[name + ".count"] = .uint32(UInt32(entries.count))
  for (index, entry) in entries.enumerated() {
    guard let fields = entry.object else { throw failure("is not an array of objects", nil) }
    for (field, text) in fields.sorted(by: { $0.key < $1.key }) {
      guard let text = text.string else { throw failure("holds a \(field) that is not a string", nil) }
      metadata["\(name).\(index).\(field)"] = .string(text)
    }
  }
}

/// The number of parameters in the notation of file names: 4.2M, 8.0B, 671B. With experts, their number, and the
/// parameters of one expert plus all shared ones: 256x20B.
func sizeLabel(_ tensors: [TensorInfo]) -> String {
  var shared = 0
  var expert = 0
  var counts: [Int] = []
  for tensor in tensors {
    let size = tensor.shape.count
    if tensor.name.contains("_exps."), tensor.shape.matrices > 1 {
      expert += size / tensor.shape.matrices
      counts.append(tensor.shape.matrices)
    } else {
      shared += size
    }
  }
  guard !counts.isEmpty else { return rounded(shared) }
  return "\(counts.reduce(0, +) / counts.count)x" + rounded(shared + expert)
}

/// Formats a count with at least two significant digits.
private func rounded(_ parameters: Int) -> String {
  let count = Double(parameters)
  let (value, unit) =
    if count > 1e12 {
      (count * 1e-12, "T")
    } else if count > 1e9 {
      (count * 1e-9, "B")
    } else if count > 1e6 { (count * 1e-6, "M") } else { (count * 1e-3, "K") }
  let whole = Int(value.rounded(.toNearestOrEven))
  let digits = whole == 0 ? 0 : String(whole).count
  return String(format: "%.\(max(0, 2 - digits))f", value) + unit
}
