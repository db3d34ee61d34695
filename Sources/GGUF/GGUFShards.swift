import Files
import Tensors

/// Where a model is cut into several files.
public enum ShardLimit: Sendable, Equatable {
  /// Bytes of a file, header and padding included. A tensor that is larger alone gets a file of its own.
  case bytes(Int)
  case tensors(Int)
}

/// The files of a model, laid out to the byte: one, or shards that llama.cpp opens by the first.
///
/// All metadata stands in the first shard. Every shard has its number (`split.no`, u16), their count (`split.count`,
/// u16) and the tensors of all of them (`split.tensors.count`, i32).
public struct GGUFShards: Sendable {
  public let layouts: [GGUFLayout]

  /// - Parameters:
  ///   - limit: nil for one file.
  ///   - emptyFirst: keep tensors out of the first shard, so that it holds metadata alone.
  /// - Throws: `FormatError` where a shard could hold nothing, or more than 65,535 would be needed.
  public init(metadata: Metadata, tensors: [TensorInfo], limit: ShardLimit? = nil, emptyFirst: Bool = false) throws {
    var metadata = metadata
    for key in ShardName.keys { metadata.removeValue(forKey: key) }
    guard let limit else {
      layouts = [GGUFLayout(metadata: metadata, tensors: tensors)]
      return
    }
    switch limit {
    case .bytes(let most) where most < 1, .tensors(let most) where most < 1:
      throw FormatError(path: "split", "a limit of \(most) leaves no room for a tensor")
    default: break
    }
    var others = Metadata()
    if let alignment = metadata["general.alignment"] { others["general.alignment"] = alignment }

    // The split keys have fixed widths, so sizes don't change once the count is known.
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
        case .bytes(let most): size.adding(tensor).total > most
        case .tensors(let most): groups[groups.count - 1].count >= most
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
        path: "split", "would make \(groups.count) files; 65,535 are possible", hint: "allow larger files")
    }
    layouts = groups.enumerated().map { index, group in
      GGUFLayout(
        metadata: Self.keyed(
          index == 0 ? metadata : others, number: index, count: groups.count, tensors: tensors.count),
        tensors: group)
    }
  }

  /// One file.
  public init(_ layout: GGUFLayout) { layouts = [layout] }

  public var totalBytes: Int { layouts.reduce(0) { $0 + $1.totalBytes } }

  /// The files' paths, given the path that one file would have.
  public func paths(_ path: String) -> [String] {
    layouts.count == 1
      ? [path] : layouts.indices.map { ShardName.path(path, index: $0, count: layouts.count) }
  }

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
