import Files
import Foundation
import Synchronization

/// Models of the hub that this process reads.
///
///     let hub = try Hub(HubClient(HubSettings()))
///     let path = try hub.open(HubReference("hf:Qwen/Qwen2.5-7B")).path
///
/// The path works wherever this process reads a model. Weights are read by ranges, when they are needed.
///
/// Unchecked: `lock` guards all state.
public final class Hub: @unchecked Sendable {
  public let client: HubClient
  private let reader: BlockReader
  private let stage: Stage
  private let lock = NSLock()
  private var models: [HubReference: HubModel] = [:]

  /// The blocks that are stored on the disk between requests.
  public struct Storage: Sendable {
    /// The folder of blocks.
    public var folder: String
    /// Bytes of all blocks; nil for as many as the disk has room for, 0 for none.
    public var limit: Int?
    /// Bytes to leave free for outputs.
    public var reserved: @Sendable () -> Int

    public init(folder: String, limit: Int?, reserved: @escaping @Sendable () -> Int = { 0 }) {
      self.folder = folder
      self.limit = limit
      self.reserved = reserved
    }
  }

  /// Bytes that are kept in memory.
  public let memory: Int

  /// - Parameter memory: bytes of blocks and rows that are kept in memory.
  /// - Throws: what creating the folder of placeholders throws.
  public init(
    _ client: HubClient, storage: Storage? = nil, blockBytes: Int = 4 << 20, memory: Int = 256 << 20
  ) throws {
    self.client = client
    self.memory = memory
    let store = storage.flatMap { storage in
      storage.limit == 0
        ? nil : BlockStore(folder: storage.folder, limit: storage.limit, reserved: storage.reserved)
    }
    reader = BlockReader(store: store, blockBytes: blockBytes, memory: memory)
    stage = try Stage()
  }

  deinit { reader.close() }

  /// The model of a reference. The first call asks the hub for its files.
  ///
  /// - Throws: ``HubError``
  public func open(_ reference: HubReference) throws -> HubModel {
    lock.lock()
    defer { lock.unlock() }
    if let model = models[reference] { return model }
    let model = try HubModel(
      reference, client: client, reader: reader, stage: stage.path + "/\(models.count)")
    models[reference] = model
    return model
  }

  /// A text with references in place of this process's folders.
  public func described(_ text: String) -> String {
    guard text.contains(stage.path) else { return text }
    lock.lock()
    defer { lock.unlock() }
    return models.values.reduce(text) { $0.replacing($1.folder, with: $1.reference.model) }
  }
}

/// The folder of placeholders. It is locked while the process runs; folders of processes that were killed are removed.
///
/// Unsafe: the lock is a system call.
private final class Stage: Sendable {
  let path: String
  private let descriptor: Int32
  private static let prefix = "qtool-hub-"

  init() throws {
    let parent = URL(filePath: NSTemporaryDirectory()).resolvingSymlinksInPath().path
    for name in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? [] where name.hasPrefix(Self.prefix) {
      let descriptor = openLock("\(parent)/\(name)/lock")
      guard descriptor >= 0 else { continue }
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { try? FileManager.default.removeItem(atPath: "\(parent)/\(name)") }
      close(descriptor)
    }
    let id = UUID().uuidString
    path = "\(parent)/\(Self.prefix)\(id)"
    // It is locked before it has the name by which other processes find and remove it.
    let unnamed = "\(parent)/.qtool-new-\(id)"
    try FileManager.default.createDirectory(atPath: unnamed, withIntermediateDirectories: true)
    descriptor = openLock("\(unnamed)/lock")
    guard descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) == 0, rename(unnamed, path) == 0 else {
      let code = errno
      try? FileManager.default.removeItem(atPath: unnamed)
      throw FileError(.create, path: "\(path)/lock", code: code)
    }
    Self.removeAtExit(path)
  }

  deinit {
    close(descriptor)
    try? FileManager.default.removeItem(atPath: path)
  }

  private static let paths = Mutex<[String]>([])

  private static func removeAtExit(_ path: String) {
    let isFirst = paths.withLock { paths in
      paths.append(path)
      return paths.count == 1
    }
    guard isFirst else { return }
    atexit { for path in Stage.paths.withLock({ $0 }) { try? FileManager.default.removeItem(atPath: path) } }
  }
}

private func openLock(_ path: String) -> Int32 { open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644) }
