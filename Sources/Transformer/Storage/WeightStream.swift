import Dispatch
import GGUF
import Synchronization
import Tensors

/// Reads weights ahead of their use into a fixed number of buffers, on a separate thread.
///
/// Requests are announced in the order in which they are taken. The reader waits while all buffers are in use.
final class WeightStream: Sendable {
  private let source: any ModelSource
  private let engine: any ProductEngine
  private let queue = DispatchQueue(label: "weights")
  private let slots = DispatchSemaphore(value: 0)
  private let state = Mutex(State())

  private struct State {
    var pending: [Pending] = []
    var head = 0
    var spare: [FloatBuffer] = []
    var isCancelled = false
  }

  private final class Pending: Sendable {
    let request: WeightRequest
    let ready = DispatchSemaphore(value: 0)
    let result = Mutex<Result<FloatBuffer, any Error>?>(nil)
    init(_ request: WeightRequest) { self.request = request }
  }

  /// The weights of a request in memory. Their buffer returns to the stream with the object.
  final class LoadedWeights: Sendable {
    let request: WeightRequest
    private let buffer: FloatBuffer
    private let stream: WeightStream

    fileprivate init(request: WeightRequest, buffer: FloatBuffer, stream: WeightStream) {
      self.request = request
      self.buffer = buffer
      self.stream = stream
    }

    deinit { stream.giveBack(buffer) }

    /// The rows of a piece. The view retains this object, and so its buffer.
    func weights(_ index: Int) -> FloatView {
      let start = request.pieces[..<index].reduce(0) { $0 + request.size($1) }
      return buffer.floats.slice(start, request.size(request.pieces[index])).owned(by: self)
    }

    /// The rows of a piece in the engine's layout.
    func matrix(_ index: Int) -> WeightMatrix {
      precondition(request.isPacked)
      let piece = request.pieces[index]
      return WeightMatrix(weights(index), rows: piece.rows.count, columns: piece.tensor.shape.columns)
    }
  }

  init(source: any ModelSource, engine: any ProductEngine) {
    self.source = source
    self.engine = engine
    for _ in 0..<MemoryBudget.weightBuffers { slots.signal() }
  }

  /// Queues requests for reading.
  func announce(_ requests: [WeightRequest]) {
    for request in requests {
      let pending = Pending(request)
      state.withLock { $0.pending.append(pending) }
      queue.async { [self] in fill(pending) }
    }
  }

  /// Waits for the next announced request, which has to be `request`.
  func take(_ request: WeightRequest) throws -> LoadedWeights {
    let pending = state.withLock { state -> Pending? in
      guard state.head < state.pending.count else { return nil }
      let pending = state.pending[state.head]
      state.head += 1
      if state.head == state.pending.count {
        state.pending = []
        state.head = 0
      }
      return pending
    }
    guard let pending, pending.request == request else {
      preconditionFailure("\(request) was not announced; next is \(String(describing: pending?.request))")
    }
    pending.ready.wait()
    // The announcement outlives the loaded weights, so it must not retain the buffer.
    let buffer = try pending.result.withLock { result in
      defer { result = nil }
      return try result!.get()
    }
    return LoadedWeights(request: request, buffer: buffer, stream: self)
  }

  /// Drops all requests that are not read yet.
  func cancel() {
    state.withLock { $0.isCancelled = true }
    slots.signal()
  }

  private func giveBack(_ buffer: FloatBuffer) {
    state.withLock { $0.spare.append(buffer) }
    slots.signal()
  }

  private func fill(_ pending: Pending) {
    slots.wait()
    let (cancelled, spare) = state.withLock { state -> (Bool, FloatBuffer?) in
      let count = pending.request.count
      guard let index = state.spare.firstIndex(where: { $0.count >= count }) else {
        // All spare buffers are too small: one is freed before a larger one is allocated.
        if !state.spare.isEmpty { state.spare.removeLast() }
        return (state.isCancelled, nil)
      }
      return (state.isCancelled, state.spare.remove(at: index))
    }
    if cancelled {
      slots.signal()
      pending.result.withLock { $0 = .failure(CancellationError()) }
      pending.ready.signal()
      return
    }
    let buffer = spare ?? FloatBuffer(count: pending.request.count)
    do {
      var offset = 0
      for piece in pending.request.pieces {
        let size = pending.request.size(piece)
        try source.read(
          piece.tensor, rows: piece.rows, layout: pending.request.isPacked ? engine.layout : .rows,
          into: buffer.floats.slice(offset, size))
        offset += size
      }
      pending.result.withLock { $0 = .success(buffer) }
    } catch {
      giveBack(buffer)
      pending.result.withLock { $0 = .failure(error) }
    }
    pending.ready.signal()
  }
}

extension ModelSource {
  /// Reads and decodes rows on all threads. For a short text, decoding takes as long as multiplying.
  func read(_ tensor: TensorInfo, rows: Range<Int>, layout: WeightLayout, into floats: FloatView) throws {
    let columns = tensor.shape.columns
    try parallelRanges(rows.count, grain: tensor.rowsPerDecoding) { _, range in
      let sourceRows = rows.lowerBound + range.lowerBound..<rows.lowerBound + range.upperBound
      guard layout == .panels else {
        try floats.slice(range.lowerBound * columns, range.count * columns).withMutableSpan {
          try readRows(of: tensor, rows: sourceRows, into: &$0)
        }
        return
      }
      let plain = FloatBuffer(count: range.count * columns)
      try plain.floats.withMutableSpan { try readRows(of: tensor, rows: sourceRows, into: &$0) }
      let panels = floats.slice(
        range.lowerBound * columns, WeightLayout.count(rows: range.count, columns: columns))
      plain.floats.withSpan { rows in
        panels.withMutableSpan { PackedProduct.pack(rows, rows: range.count, columns: columns, into: &$0) }
      }
    }
  }
}
