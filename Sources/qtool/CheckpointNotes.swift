import Checkpoint
import GGUF

extension CheckpointNote {
  var text: String {
    switch self {
    case .keptHead(let row):
      "lm_head.weight differs from the embeddings, first in row \(row), and is kept although config.json ties them"
    case .embeddingsFromHead:
      "the embeddings are not stored: lm_head.weight, to which config.json ties them, serves as both"
    case .shardsByName(let count):
      count == 1 ? "no index names the only shard, which is read" : "no index names the \(count) shards, which are read"
    case .filesNotRead(let files):
      files.count == 1
        ? "\(files[0]) belongs to an incomplete set of shards and is not read"
        : "\(files[0]) and \(files.count - 1) more belong to an incomplete set of shards and are not read"
    case .staleIndex(let missing, let read):
      "the index of weights is stale: it names \(missing), which is missing; \(read) is read"
    case .indexDisagrees(let tensor, let file):
      "the index of weights is stale: it contradicts \(file) about \(tensor); the file is used"
    case .unlistedTensors(let count, let first):
      "the index does not name \(first)\(count == 1 ? "" : " and \(count - 1) more"), which the shards contain and are read"
    case .passedOver(let files, let reason, let read):
      "\(files) does not fit config.json and is not read: \(reason); \(read) is read"
    case .plainWeights(let key, let method):
      "config.json's \(key) says that weights are quantized\(method.map { " (\($0))" } ?? ""), but they are plain"
    case .badModelCard(let fault): "README.md: the model card \(fault), and its keys are not written"
    case .predictionBlocks(let declared, let stored):
      "config.json declares \(declared) \(declared == 1 ? "block" : "blocks") for multi-token prediction, and the weights "
        + "hold \(stored), which are written"
    case .message(let text): text
    case .adapterIgnored:
      "adapter_config.json: an adapter beside the weights is not applied"
    }
  }
}

extension ModelSource {
  /// Notes on how ambiguous files of a directory were read; empty for a GGUF.
  var openingNotes: [String] {
    guard let directory = self as? CheckpointDirectory else { return [] }
    return directory.configReview.notes
      + directory.notes.map { note in
        if case .message(let text) = note { text } else { "\(name): \(note.text)" }
      }
  }
}
