import Files
import Foundation
import GGUF
import Tensors

/// A model's chat templates, by name.
struct ChatTemplate {
  private let templates: [(name: String, text: String)]

  /// Reads tokenizer_config.json's templates, else chat_template.jinja with `additional_chat_templates`, else
  /// chat_template.json.
  init(_ files: TokenizerFiles) throws {
    var value = files.config?["chat_template"]
    if value == nil {
      if let path = files.path("chat_template.jinja") {
        var entries = [("default", try TextFile(path: path, limit: 16 << 20).text)]
        let folder = files.directory + "/additional_chat_templates"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for name in names.sorted() where name.hasSuffix(".jinja") {
          entries.append((String(name.dropLast(6)), try TextFile(path: folder + "/" + name, limit: 16 << 20).text))
        }
        templates = entries
        return
      }
      if let path = files.path("chat_template.json") { value = try JSONValue.read(path)["chat_template"] }
    }
    switch value {
    case .string(let text): templates = [("default", text)]
    case .array(let entries):
      templates = entries.compactMap { entry in
        guard let name = entry["name"]?.string, let text = entry["template"]?.string else { return nil }
        return (name, text)
      }
    default: templates = []
    }
  }

  /// The GGUF keys: the default template under `tokenizer.chat_template`, the others under their names.
  var metadata: Metadata {
    var metadata = Metadata()
    var names: [String] = []
    for (name, text) in templates where name != "default" {
      let name = String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
      if name.isEmpty { continue }
      metadata["tokenizer.chat_template.\(name)"] = .string(text)
      if !names.contains(name) { names.append(name) }
    }
    if !names.isEmpty { metadata["tokenizer.chat_templates"] = .array(.string(names.sorted())) }
    if let text = templates.last(where: { $0.name == "default" })?.text {
      metadata["tokenizer.chat_template"] = .string(text)
    }
    return metadata
  }
}
