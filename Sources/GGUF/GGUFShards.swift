import Files
import Tensors

/// The maximum size of a shard.
public enum ShardLimit: Sendable, Equatable {
  /// Bytes of a file, with header and padding. A larger tensor gets its own file.
  case bytes(Int)
  /// Tensors in a file.
  case tensors(Int)
}

/// The layouts of a model's files: one file, or shards that llama.cpp opens by the first.
///
/// All metadata is in the first shard. Every shard has its index from 0 (`split.no`, u16), the number of shards
/// (`split.count`, u16) and the number of tensors in all shards (`split.tensors.count`, i32).
public struct GGUFShards: Sendable {
  /// The layouts of the files, in their order.
  public let layouts: [GGUFLayout]

  /// Distributes tensors over files in the given order.
  ///
  /// - Parameters:
  ///   - limit: nil for one file.
  ///   - emptyFirst: keeps tensors out of the first shard, which then holds only metadata.
  /// - Throws: `FormatError` where the limit is below 1, or more than 65,535 shards would be needed.
  public init(metadata: Metadata, tensors: [TensorInfo], limit: ShardLimit? = nil, emptyFirst: Bool = false) throws {
    var metadata = metadata
    for key in ShardName.keys { metadata.removeValue(forKey: key) }
    guard let limit else {
      layouts = [GGUFLayout(metadata: metadata, tensors: tensors)]
      return
    }
    switch limit {
    case .bytes(let maximum) where maximum < 1, .tensors(let maximum) where maximum < 1:
      throw FormatError(path: "split", "a limit of \(maximum) leaves no room for a tensor")
    default: break
    }
    var others = Metadata()
    if let alignment = metadata["general.alignment"] { others["general.alignment"] = alignment }

    // The split keys have fixed widths, so sizes do not depend on their values.
    let first = Self.keyed(metadata, number: 0, count: 0, tensors: tensors.count)
    let other = Self.keyed(others, number: 0, count: 0, tensors: tensors.count)
    var groups: [[TensorInfo]] = [[]]
    var size = ShardSize(metadata: first)
    if emptyFirst {
      groups.append([])
      size = ShardSize(metadata: other)
    }
    for tensor in tensors {
      let isFull =
        switch limit {
        case .bytes(let maximum): size.adding(tensor).total > maximum
        case .tensors(let maximum): groups[groups.count - 1].count >= maximum
        }
      if isFull, !(groups.last?.isEmpty ?? true) {
        groups.append([])
        size = ShardSize(metadata: other)
      }
      groups[groups.count - 1].append(tensor)
      size = size.adding(tensor)
    }
    if groups.count == 1 {
      layouts = [GGUFLayout(metadata: metadata, tensors: tensors)]
      return
    }
    guard groups.count <= Int(UInt16.max), tensors.count <= Int(Int32.max) else {
      throw FormatError(
        path: "split", "would need \(groups.count) files, more than 65,535", hint: "allow larger files")
    }
    layouts = groups.enumerated().map { index, group in
      GGUFLayout(
        metadata: Self.keyed(
          index == 0 ? metadata : others, number: index, count: groups.count, tensors: tensors.count),
        tensors: group)
    }
  }

  /// The layout of one file.
  public init(_ layout: GGUFLayout) { layouts = [layout] }

  /// Bytes of all files.
  public var totalBytes: Int { layouts.reduce(0) { $0 + $1.totalBytes } }

  /// The paths of the files: `path` for one file, numbered names for shards.
  public func paths(_ path: String) -> [String] {
    layouts.count == 1
      ? [path] : layouts.indices.map { ShardName.path(path, index: $0, count: layouts.count) }
  }

  /// Metadata with the split keys.
  private static func keyed(_ metadata: Metadata, number: Int, count: Int, tensors: Int) -> Metadata {
    var metadata = metadata
    metadata["split.no"] = .uint16(UInt16(number))
    metadata["split.count"] = .uint16(UInt16(count))
    metadata["split.tensors.count"] = .int32(Int32(clamping: tensors))
    return metadata
  }
}

/// The size of a shard while tensors are added to it.
private struct ShardSize {
  private let alignment: Int
  private var header: Int
  private var data = 0

  init(metadata: Metadata) {
    let layout = GGUFLayout(metadata: metadata, tensors: [])
    alignment = layout.alignment
    header = layout.unpaddedHeaderBytes
  }

  var total: Int { aligned(header, to: alignment) + data }

  func adding(_ tensor: TensorInfo) -> ShardSize {
    var sum = self
    sum.header += GGUFLayout.directoryBytes(tensor)
    sum.data += aligned(tensor.shape.bytes(as: tensor.type) ?? 0, to: alignment)
    return sum
  }
}
