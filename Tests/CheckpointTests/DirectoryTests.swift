import Checkpoint
import Files
import Foundation
import GGUF
import Plan
import TestSupport
import Testing

/// Directories that are not a model in safetensors, and models in Hugging Face's cache.
@Suite struct DirectoryTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func write(_ name: String, _ text: String = "x", in folder: URL? = nil) throws {
    let url = (folder ?? directory.url).appending(path: name)
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: url)
  }

  private func copyModel(to folder: URL) throws {
    let model = try ReferenceModel.copy("llama2")
    try FileManager.default.createDirectory(at: folder.deletingLastPathComponent(), withIntermediateDirectories: true)
    try FileManager.default.copyItem(at: model.directory.url, to: folder)
  }

  private func error(_ path: String) throws -> (kind: FormatError.Kind, text: String) {
    let error = try #require(throws: FormatError.self) { try openModel(path: path) }
    return (error.kind, error.description + " | " + (error.hint ?? ""))
  }

  /// The message is the same with and without config.json.
  @Test(arguments: [
    (
      ["adapter_config.json", "adapter_model.safetensors"],
      ["is a LoRA adapter, not a model", "merge it into its base"]
    ),
    (
      ["b-00001-of-00002.gguf", "b-00002-of-00002.gguf"],
      ["GGUF files", "name the file: DIRECTORY/b-00001-of-00002.gguf"]
    ),
    (["Model-Q8_0.gguf"], ["a GGUF file", "name the file: DIRECTORY/Model-Q8_0.gguf"]),
    (["pytorch_model.bin"], ["pytorch_model.bin", "convert them to safetensors first"]),
    (["pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"], ["convert them to safetensors first"]),
    (["consolidated.00.pth", "params.json"], ["Meta's original checkpoint (consolidated.00.pth)"]),
    (["consolidated.safetensors", "tekken.json"], ["Mistral's own format (consolidated.safetensors)", "params.json"]),
    (["model_index.json", "unet/config.json"], ["is a pipeline of the diffusers package"]),
    (["model.onnx"], ["an ONNX model (model.onnx)"]), (["onnx/model.onnx"], ["an ONNX model"]),
    (["tf_model.h5"], ["TensorFlow files (tf_model.h5)"]), (["flax_model.msgpack"], ["Flax files"]),
    (["global_step10/a.pt"], ["a training checkpoint of several processes"]), (["weights.npz"], ["an old MLX model"]),
    (["checkpoint-5/config.json"], ["name a directory in it: DIRECTORY/checkpoint-5"]),
    ([], ["holds n"]),
  ])
  func otherForms(files: [String], parts: [String]) throws {
    for file in files { try write(file) }
    for hasConfiguration in [false, true] {
      if hasConfiguration {
        let model = try ReferenceModel.copy("llama2")
        try FileManager.default.copyItem(
          atPath: model.directory.path("config.json"), toPath: directory.path("config.json"))
      }
      let (kind, text) = try error(directory.url.path)
      #expect(kind == .missing)
      for part in parts {
        #expect(text.contains(part.replacing("DIRECTORY", with: directory.url.path)), "\(text)")
      }
    }
  }

  @Test func adapterNamesItsBase() throws {
    try write("adapter_config.json", #"{"peft_type": "LORA", "base_model_name_or_path": "org/Base-7B"}"#)
    #expect(try error(directory.url.path).text.contains("is a LoRA adapter of org/Base-7B, not a model"))
    try write("adapter_config.json", #"{"peft_type": "IA3"}"#)
    #expect(try error(directory.url.path).text.contains("is an adapter (IA3), not a model"))
  }

  @Test func adapterBesideAModelIsNoted() throws {
    let model = try ReferenceModel.copy("llama2")
    try write("adapter_config.json", "{}", in: model.directory.url)
    #expect(try CheckpointDirectory(path: model.path).notes == [.adapterIgnored])
  }

  @Test func adapterThatIsNotMerged() throws {
    let model = try ReferenceModel.copy("llama2")
    try model.edit {
      $0.rename("model.layers.0.mlp.up_proj.weight", to: "model.layers.0.mlp.up_proj.base_layer.weight")
    }
    #expect(try error(model.path).text.contains("up_proj.base_layer.weight: belongs to a LoRA adapter"))
  }

  @Test func weightsWithoutConfiguration() throws {
    let model = try ReferenceModel.copy("llama2")
    try FileManager.default.removeItem(atPath: model.directory.path("config.json"))
    #expect(try error(model.path).text.contains("holds weights (model.safetensors) and no config.json"))
  }

  /// An interrupted download leaves dangling links to blobs. They must not count as absent files.
  @Test(arguments: [
    "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
    "tokenizer.model", "chat_template.jinja",
  ])
  func danglingLinks(name: String) throws {
    let model = try ReferenceModel.copy("llama2")
    try? FileManager.default.removeItem(atPath: model.directory.path(name))
    try FileManager.default.createSymbolicLink(
      atPath: model.directory.path(name), withDestinationPath: "../../blobs/0123")
    let (kind, text) = try error(model.path)
    #expect(kind == .missing)
    #expect(text.contains("/\(name): is a link to ../../blobs/0123, which does not exist | the download is incomplete"))
  }

  @Test(arguments: [
    "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
    "model.safetensors.index.json", "chat_template.jinja",
  ])
  func pointersOfGit(name: String) throws {
    let model = try ReferenceModel.copy("llama2")
    let pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:\(String(repeating: "a", count: 64))\nsize 9\n"
    try write(name, pointer, in: model.directory.url)
    let text = try error(model.path).text
    #expect(text.contains("/\(name): is a Git LFS pointer") && text.contains("git lfs pull"), "\(text)")
  }

  @Test(arguments: [
    ("<!DOCTYPE html><html>", "is a web page"), ("Entry not found", "is a server's error message"),
    ("PK\u{3}\u{4}xxxxxxxxxx", "is a ZIP archive"), (String(repeating: "\0", count: 64), "is a file of zeros"),
    ("GGUF\u{3}\0\0\0xxxxxxxx", "is a GGUF file"),
  ])
  func weightsThatAreSomethingElse(text: String, reason: String) throws {
    let model = try ReferenceModel.copy("llama2")
    try write("model.safetensors", text, in: model.directory.url)
    let message = try error(model.path).text
    #expect(
      message.contains("model.safetensors: \(reason)") && message.contains("not a safetensors file"), "\(message)")
  }

  @Test(arguments: ["", "/", "/snapshots", "/snapshots/0123abcd"])
  func onlySnapshotOfACache(suffix: String) throws {
    let cached = directory.url.appending(path: "models--org--Tiny-1B")
    try copyModel(to: cached.appending(path: "snapshots/0123abcd"))
    try write("refs/main", "0123abcd", in: cached)
    let model = try openModel(path: cached.path + suffix)
    #expect(model.name == "Tiny-1B")
    #expect(try PlanSource(cached.path + suffix).model.name == "Tiny-1B")
  }

  @Test func snapshotsOfACache() throws {
    let cached = directory.url.appending(path: "models--org--Tiny-1B")
    try write("refs/main", "b", in: cached)
    try write("snapshots/c/tokenizer.json", "{}", in: cached)
    #expect(try error(cached.path).text.contains("has no snapshot with a config.json"))
    for name in ["a", "b"] { try copyModel(to: cached.appending(path: "snapshots/\(name)")) }
    let text = try error(cached.path).text
    #expect(text.contains("holds 2 snapshots"))
    #expect(text.contains("refs/main is \(cached.path)/snapshots/b"), "\(text)")
    #expect(try error(directory.url.path).text.contains("name a model in it: \(cached.path)"))
  }
}
