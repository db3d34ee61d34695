import Files
import Tensors

/// The names and keys of a model in several files: `NAME-00001-of-00003.gguf`, counted from 1 in names and 0 in keys.
enum ShardName {
  static let keys = ["split.no", "split.count", "split.tensors.count"]

  /// The name of shard `index` (from 0) of `count`, for a path that ends in `.gguf` or not.
  static func path(_ path: String, index: Int, count: Int) -> String {
    let stem = path.hasSuffix(".gguf") ? String(path.dropLast(5)) : path
    return "\(stem)-\(padded(index + 1))-of-\(padded(count)).gguf"
  }

  private static func padded(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }

  /// All files of the model that `path` begins; just `path` where the model is one file.
  static func siblings(of path: String, header: GGUFHeader) throws -> [String] {
    guard let count = header.metadata.optionalInt("split.count"), count > 1 else { return [path] }
    guard count <= 65535 else { throw FormatError(path: path, subject: "key split.count", "is \(count)") }
    let suffix = "-\(padded(1))-of-\(padded(count)).gguf"
    guard header.metadata.optionalInt("split.no") == 0, path.hasSuffix(suffix) else {
      throw FormatError(
        path: path, "is a shard of \(count), and not the first by number and name",
        hint: "name the file that ends in \(suffix)")
    }
    let stem = String(path.dropLast(suffix.count))
    return (0..<count).map { Self.path(stem, index: $0, count: count) }
  }
}
