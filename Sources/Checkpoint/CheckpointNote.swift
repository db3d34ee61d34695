/// A decision that opening an ambiguous Hugging Face directory required, to be shown to the user.
public enum CheckpointNote: Sendable, Equatable {
  /// config.json ties the output to the embeddings, but the stored head differs from them, first in `row`. The head is
  /// kept.
  case keptHead(row: Int)
  /// config.json ties the output to the embeddings, and only the head is stored. It is used for both.
  case embeddingsFromHead
  /// Shards without an index are read in the order of their numbers.
  case shardsByName(count: Int)
  /// Shards of incomplete sets, which are not read.
  case filesNotRead([String])
  /// The index names files that do not exist, such as `missing`. A complete set of other files is read.
  case staleIndex(missing: String, read: String)
  /// The index names one file, and only one of the two lists `tensor`. The file decides.
  case indexDisagrees(tensor: String, file: String)
  /// Shards hold tensors that their index does not list.
  case unlistedTensors(count: Int, first: String)
  /// `files` are a complete model that does not fit config.json, for `reason`. `read` are the files in use.
  case passedOver(files: String, reason: String, read: String)
  /// config.json declares quantized weights under `key`, but the weights are not quantized.
  case plainWeights(key: String, method: String?)
  /// The weights hold fewer blocks for multi-token prediction than config.json declares.
  case predictionBlocks(declared: Int, stored: Int)
  /// An adapter beside the model's weights is ignored.
  case adapterIgnored
  /// The YAML of README.md has a fault and is not used.
  case badModelCard(fault: String)
  /// A complete line of text.
  case message(String)
}
