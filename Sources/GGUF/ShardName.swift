import Files
import Tensors

/// File names and keys of shards: `NAME-00001-of-00003.gguf`. Names count from 1, keys from 0.
enum ShardName {
  static let keys = ["split.no", "split.count", "split.tensors.count"]

  /// The path of the shard of an index from 0; `path` may end in `.gguf`.
  static func path(_ path: String, index: Int, count: Int) -> String {
    let stem = path.hasSuffix(".gguf") ? String(path.dropLast(5)) : path
    return "\(stem)-\(padded(index + 1))-of-\(padded(count)).gguf"
  }

  private static func padded(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }

  /// The paths of all shards, given the first; only `path` where the model is one file.
  static func siblings(of path: String, header: GGUFHeader) throws -> [String] {
    guard let count = header.metadata.optionalInt("split.count"), count > 1 else { return [path] }
    guard count <= 65535 else { throw FormatError(path: path, subject: "key split.count", "is \(count)") }
    let suffix = "-\(padded(1))-of-\(padded(count)).gguf"
    guard header.metadata.optionalInt("split.no") == 0, path.hasSuffix(suffix) else {
      throw FormatError(
        path: path, "is one of \(count) shards, but not the first by number and name",
        hint: "name the file that ends in \(suffix)")
    }
    let stem = String(path.dropLast(suffix.count))
    return (0..<count).map { Self.path(stem, index: $0, count: count) }
  }
}
