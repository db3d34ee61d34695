/// A decision that a Hugging Face directory left to its reader, and that whoever opened it must hear of.
public enum CheckpointNote: Sendable, Equatable {
  /// config.json ties the output to the embeddings, but the stored head differs from them, first in `row`: it is kept.
  case keptHead(row: Int)
  /// config.json ties the output to the embeddings, of which only the head is stored: it serves as both.
  case embeddingsFromHead
  /// Shards that no index names are read by their names.
  case shardsByName(count: Int)
  /// Shards of incomplete numberings, which are not read.
  case filesNotRead([String])
  /// The index names files that are not there, `missing` among them; others, which are complete, are read.
  case staleIndex(missing: String, read: String)
  /// `tensor` is in the index or in the only file that it names, but not in both; the file is read as it is.
  case indexDisagrees(tensor: String, file: String)
  /// Shards hold tensors that their index does not name.
  case unlistedTensors(count: Int, first: String)
  /// Other files would be a complete model, but not the one that config.json describes.
  case passedOver(files: String, reason: String, read: String)
  /// config.json says under `key` that weights are quantized, and they are not.
  case plainWeights(key: String, method: String?)
  /// An adapter beside the model's own weights.
  case adapterIgnored
  /// The YAML of README.md has a fault and is not used.
  case badModelCard(fault: String)
  /// A line that says everything itself.
  case message(String)
}
