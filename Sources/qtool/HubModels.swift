import Foundation
import GGUF
import Hub
import Quantize
import Synchronization
import Tensors

/// Models of the hub that this process reads, `hf:ORG/NAME`.
enum HubModels {
  private struct State {
    var hub: Hub?
    var limit: Int?
    var isRepeated = false
    /// Bytes of memory, at most.
    var memory = maximumMemory
    /// Where waits are told.
    var progress: Progress?
  }

  private static let state = Mutex(State())
  /// Bytes of the outputs of this run, which the store leaves free.
  private static let reserved = Atomic<Int>(0)

  /// Sets what is stored on the disk, before a model is opened.
  ///
  /// - Parameters:
  ///   - cache: bytes of all blocks; nil for none where weights are read once, else for what the disk has free.
  ///   - isRepeated: whether the command reads weights several times.
  static func store(_ cache: ByteSize?, isRepeated: Bool) {
    state.withLock {
      $0.limit = cache?.bytes ?? $0.limit
      $0.isRepeated = $0.isRepeated || isRepeated
    }
  }

  /// Bytes of blocks that are kept in memory, at most, where weights are read once.
  private static let maximumMemory = 256 << 20
  /// The same where they are read several times. A search or error feedback reads the matrices of a part of a layer again at
  /// once: those of the largest dense models take 3.5 GB.
  private static let maximumRepeatedMemory = 4 << 30

  /// Tells of servers that do not answer on a command's progress stream.
  static func report(to progress: Progress) { state.withLock { $0.progress = progress } }

  /// Keeps at most an eighth of a run's memory for blocks. Called before a model is opened.
  static func limit(memory: Int) { state.withLock { $0.memory = max(16 << 20, memory / 8) } }

  /// Bytes that this run's models of the hub keep in memory; 0 without any.
  static var memory: Int { state.withLock { $0.hub?.memory ?? 0 } }

  /// Leaves disk space for the files of a run: the given sizes, or at most that of the model.
  static func reserve(files mixes: [Mix], of model: any ModelSource) {
    let whole = model.tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
    let bytes = mixes.reduce(0) { sum, mix in
      if case .target(let size) = mix.choice { sum + min(size.bytes, whole) } else { sum + whole }
    }
    reserved.store(bytes, ordering: .relaxed)
  }

  /// The path of a model: a model of the hub gets a folder whose files are read from there.
  ///
  /// - Throws: `HubError`
  static func path(_ model: String) throws -> String {
    guard HubReference.isReference(model) else { return model }
    let reference = try HubReference(model)
    let hub = try state.withLock { state in
      if let hub = state.hub { return hub }
      let settings = try HubSettings()
      let progress = state.progress ?? Progress(quiet: false)
      let client = HubClient(
        settings, isStopped: { Interruption.isRequested }, onWait: { progress.note($0.line) })
      let caches = ProcessInfo.processInfo.environment["XDG_CACHE_HOME"] ?? NSHomeDirectory() + "/.cache"
      let limit = state.limit ?? (state.isRepeated ? nil : 0)
      let hub = try Hub(
        client,
        storage: Hub.Storage(
          folder: caches + "/qtool/hub", limit: limit, reserved: { reserved.load(ordering: .relaxed) + freeMinimum }),
        memory: min(state.memory, state.isRepeated ? maximumRepeatedMemory : maximumMemory))
      state.hub = hub
      return hub
    }
    return try hub.open(reference).path
  }

  /// Bytes of the disk that the store never takes.
  private static let freeMinimum = 2 << 30

  /// A text with references in place of this process's folders.
  static func described(_ text: String) -> String { state.withLock { $0.hub }?.described(text) ?? text }

  /// Requests and bytes of this run; nil without a model of the hub.
  static var traffic: HubTraffic? { state.withLock { $0.hub }?.client.traffic }
}

extension HubWait {
  /// The line for a person who would think that the program hangs.
  fileprivate var line: String {
    "\(server) \(status == 0 ? "does not answer (\(reason))" : "answers \(status)"); trying again for up to "
      + Figures.duration(seconds)
  }
}
