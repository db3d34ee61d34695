import ArgumentParser
import Checkpoint

/// Options for a config.json with refused keys.
struct ConfigOptions: ParsableArguments {
  @Option(
    name: .customLong("ignore-config"),
    help: ArgumentHelp(
      "Ignore this key of config.json, whose value is refused. Can be repeated.", valueName: "key"))
  var ignored: [String] = []

  @Flag(name: .customLong("no-mtp"), help: "Leave out a directory's blocks for multi-token prediction (MTP, NextN).")
  var dropsPrediction = false
}

extension ConfigReview {
  /// One line for each remark on an accepted configuration.
  var notes: [String] {
    var notes: [String] = []
    if !unknown.isEmpty {
      let shown = unknown.prefix(12).joined(separator: ", ")
      let others = unknown.count > 12 ? " and \(unknown.count - 12) others" : ""
      let keys = unknown.count == 1 ? "1 key" : "\(unknown.count) keys"
      notes.append("\(path): \(keys) that qtool does not know: \(shown)\(others)")
    }
    if !ignored.isEmpty {
      let keys = ignored.map { "\($0.name) (\($0.value)\($0.shapesTensors ? ", kept: it shapes tensors" : ""))" }
      notes.append("\(path): ignored by --ignore-config: \(keys.joined(separator: ", "))")
    }
    if let window {
      notes.append(
        "\(path): sliding_window is \(window); the GGUF has full attention, which is the same up to \(window) tokens")
    }
    if let roundedBounds {
      notes.append(
        "\(path): \(roundedBounds) is false; readers of the GGUF round YaRN's bounds to whole dimensions, and so does qtool"
      )
    }
    if let replacedBeta {
      notes.append("\(path): \(replacedBeta) is 1; readers of the GGUF compute YaRN with 32, and so does qtool")
    }
    if !towers.isEmpty {
      notes.append(
        "\(path): \(towers.joined(separator: " and ")): towers are left out, and the file reads text only;"
          + " convert_hf_to_gguf.py --mmproj of llama.cpp writes them to a file of their own, which goes beside any"
          + " quantization")
    }
    return notes
  }
}
