import Files
import Foundation

/// A directory that is not a Hugging Face model in safetensors. Recognises other contents by their names, for the
/// error.
struct UnreadableDirectory {
  enum Missing {
    case configuration
    case weights
  }

  private let listing: DirectoryListing
  private var path: String { listing.path }

  init(_ listing: DirectoryListing) { self.listing = listing }

  /// The error for a directory without config.json, or without safetensors whose names are known.
  func error(lacking missing: Missing) -> FormatError {
    if let (reason, hint) = otherModel ?? otherWeights(lacking: missing) {
      return FormatError(.missing, path: path, reason, hint: hint)
    }
    let stem = MistralForm.isRead(listing, chosen: nil) ? MistralForm.weights : "model"
    let inner = listing.names.filter { listing.isDirectory($0) && has("\($0)/config.json") }
    let other = inner.isEmpty ? nil : "name a directory in it: " + someOf(inner.map { path + "/" + $0 })
    if missing == .weights {
      return FormatError(
        .missing, path: path, "holds neither \(stem).safetensors nor \(stem).safetensors.index.json",
        hint: other ?? "the download is incomplete; or MODEL is another directory, or a GGUF file")
    }
    let weights = listing.names(endingIn: ".safetensors")
    if !weights.isEmpty {
      return FormatError(
        .missing, path: path, "holds weights (\(someOf(weights))) and no config.json",
        hint: "download config.json and the tokenizer's files to them")
    }
    return FormatError(
      .missing, path: path, "holds no config.json",
      hint: other ?? "a model is a directory as published on Hugging Face, or a GGUF file")
  }

  private func has(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path + "/" + name) }

  /// Reason and hint for a directory that is not a language model, or an adapter of one.
  private var otherModel: (String, String)? {
    if let (kind, base) = adapter {
      return (
        "is \(kind)\(base.map { " of \($0)" } ?? ""), not a model",
        "merge it into its base first (merge_and_unload of peft), and save the whole model"
      )
    }
    if listing.has("model_index.json") {
      return ("is a pipeline of the diffusers package", "only language models can be read")
    }
    return nil
  }

  /// The kind of adapter in the directory, and its base model.
  private var adapter: (kind: String, base: String?)? {
    let config = "adapter_config.json"
    guard listing.has(config) || !listing.names(endingIn: "adapter_model.safetensors", "adapter_model.bin").isEmpty
    else {
      return nil
    }
    let fields = try? JSONValue.read(path + "/" + config, limit: 1 << 20)
    let kind = fields?["peft_type"]?.string ?? "LORA"
    let base = fields?["base_model_name_or_path"]?.string.flatMap { $0.isEmpty ? nil : $0 }
    return (kind == "LORA" ? "a LoRA adapter" : "an adapter (\(kind))", base)
  }

  /// Reason and hint for weights in other formats than safetensors.
  private func otherWeights(lacking missing: Missing) -> (String, String)? {
    let first = missing == .configuration ? "holds no config.json" : "holds no safetensors weights"
    func reason(_ content: String, _ names: [String]) -> String { "\(first), but \(content) (\(someOf(names)))" }
    let ggufs = listing.names(endingIn: ".gguf")
    if !ggufs.isEmpty {
      // A model in shards is named by its first shard.
      let starts = ggufs.filter {
        $0.firstMatch(of: /-[0-9]{5}-of-[0-9]{5}\.gguf$/) == nil || $0.contains("-00001-of-")
      }
      return (
        reason(ggufs.count == 1 ? "a GGUF file" : "GGUF files", ggufs),
        "name the file: " + someOf((starts.isEmpty ? ggufs : starts).map { path + "/" + $0 })
      )
    }
    let original = listing.names.filter { $0.hasPrefix("consolidated.") && $0.hasSuffix(".pth") }
    if !original.isEmpty {
      return (
        reason("Meta's original checkpoint", original),
        "use the model's Hugging Face form (convert_llama_weights_to_hf.py of transformers makes it)"
      )
    }
    let consolidated = listing.names.filter { $0.hasPrefix("consolidated") && $0.hasSuffix(".safetensors") }
    if !consolidated.isEmpty, !listing.names.contains(MistralForm.parameters),
      ShardSet.all("model", in: listing).isEmpty, !listing.has(WeightChoice.single)
    {
      return (
        reason("Mistral's own format", consolidated),
        "its shape is in params.json, which is missing: download it, and tekken.json"
      )
    }
    let torch = listing.names(endingIn: ".bin", ".pth", ".pt", ".ckpt", ".bin.index.json").filter {
      !["training_args.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth"].contains($0)
        && !$0.hasPrefix("rng_state")
    }
    if !torch.isEmpty {
      return (
        reason("PyTorch files", torch),
        "PyTorch files are not supported: convert them to safetensors first"
      )
    }
    let others: [(content: String, names: [String], hint: String)] = [
      ("an ONNX model", onnx, "use the model's safetensors"),
      ("TensorFlow files", listing.names(endingIn: ".h5"), "use the model's safetensors"),
      ("Flax files", listing.names(endingIn: ".msgpack"), "use the model's safetensors"),
      ("an old MLX model", listing.names(endingIn: ".npz"), "use the original model"),
      ("a NeMo archive", listing.names(endingIn: ".nemo"), "export it to its Hugging Face form"),
      (
        "a training checkpoint of several processes", listing.names(endingIn: ".distcp") + zero,
        "gather it into safetensors (zero_to_fp32.py of DeepSpeed, or the trainer's own tool)"
      ),
    ]
    for (content, names, hint) in others where !names.isEmpty { return (reason(content, names), hint) }
    let safetensors = listing.names(endingIn: ".safetensors").filter { !$0.hasPrefix("consolidated") }
    guard missing == .weights, !safetensors.isEmpty else { return nil }
    let start = safetensors.first { listing.has($0) } ?? safetensors[0]
    return (
      "holds no model.safetensors, but " + someOf(safetensors),
      "name the file to read: \(path)/\(start)"
    )
  }

  private var onnx: [String] {
    let names = listing.names(endingIn: ".onnx")
    guard names.isEmpty, listing.isDirectory("onnx") else { return names }
    return ["onnx"]
  }

  private var zero: [String] { listing.names.filter { $0.hasPrefix("global_step") && listing.isDirectory($0) } }
}
