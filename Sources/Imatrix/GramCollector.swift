import GGUF
import Tensors
import Transformer

/// The Gram matrices of one input of a forward pass, over all tokens.
public struct GramInput: Sendable {
  /// The tensors that are multiplied by the input.
  public let tensors: [String]
  /// The matrix of each tensor that is multiplied by it.
  public let matrix: ObservedMatrix
  /// The Gram matrix of all tokens that were not held out.
  public let gram: GramMatrix
  /// The Gram matrix of the held-out tokens: one run of 16 tokens in four. Nil if none were held out.
  public let heldOut: GramMatrix?
  /// For an expert's gate and up matrices: the Gram matrix of all tokens of the layer, also those not routed to the
  /// expert.
  public let layer: GramMatrix?

  /// The number of tokens, including held-out ones.
  public var tokens: Int { gram.tokens + (heldOut?.tokens ?? 0) }

  /// The number of consecutive tokens that are held out together. Neighbouring tokens are too similar to be validated
  /// against each other.
  static let heldOutRun = 16
}

/// Sums the Gram matrix of every input of a forward pass. Each matrix is passed on when it is complete, so that those
/// of one or two inputs are in memory at a time.
///
///     let collector = GramCollector(tokens: windows.count * 512) { input in ... }
///     _ = try pass.run(windows: windows, scored: 0..<0, observer: collector, snapshot: { _ in try collector.close() })
///     try collector.close()
///
/// An input is complete when another one begins, since inputs are observed one after the other. Only the heads of
/// latent attention are observed together, window after window.
public final class GramCollector: ForwardObserver {
  public let wantsOutput: Bool
  /// The bytes that the sums and the receiver need at the same time.
  public let workBytes: Int
  private let tokens: Int
  private let wants: (String) -> Bool
  private let blockColumns: (Int) -> Int
  private let receive: (GramInput) throws -> Void

  private var open: [(key: Key, sums: Sums)] = []
  /// The Gram matrix of the router's input, for the experts of its layer.
  private var layer: (index: Int, gram: GramMatrix)?

  private struct Key: Equatable {
    let tensors: [String]
    let matrix: ObservedMatrix

    var isHead: Bool { if case .head = matrix { true } else { false } }
    var isExpert: Bool { if case .expert = matrix { true } else { false } }
    var isRouter: Bool { tensors.allSatisfy { TensorName($0).layerClass == "ffn_gate_inp.weight" } }
  }

  private struct Sums {
    var gram: GramMatrix
    var heldOut: GramMatrix?
    var tokens = 0
  }

  /// - Parameters:
  ///   - tokens: the number of tokens in all windows.
  ///   - wantsOutput: whether to observe the output head.
  ///   - wants: whether to sum a tensor's inputs. An input is summed if it is true for one of its tensors.
  ///   - blockColumns: the columns of a diagonal block, for the columns of an input.
  ///   - workBytes: the maximum number of bytes of the sums and of `receive`.
  ///   - receive: gets every input once, in the order of the pass.
  public init(
    tokens: Int, wantsOutput: Bool, workBytes: Int = 0, wants: @escaping (String) -> Bool = { _ in true },
    blockColumns: @escaping (Int) -> Int = { $0 }, receive: @escaping (GramInput) throws -> Void
  ) {
    self.tokens = tokens
    self.wantsOutput = wantsOutput
    self.workBytes = workBytes
    self.wants = wants
    self.blockColumns = blockColumns
    self.receive = receive
  }

  /// The tokens per column below which some tokens are held out, to validate the sums of the others.
  public static let ampleTokens = 2

  public func observe(_ tensors: [String], inputs: Span<Float>, columns: Int, matrix: ObservedMatrix) throws {
    let key = Key(tensors: tensors, matrix: matrix)
    var index = open.firstIndex { $0.key == key }
    if index == nil {
      if !(key.isHead && open.allSatisfy(\.key.isHead)) { try close() }
      if let layer, layer.index != TensorName(tensors[0]).layer { self.layer = nil }
      guard key.isRouter || tensors.contains(where: wants) else { return }
      open.append((key, sums(key, columns)))
      index = open.count - 1
    }
    guard let index else { return }
    try add(inputs, columns, to: &open[index].sums)
  }

  private func sums(_ key: Key, _ columns: Int) -> Sums {
    let empty = GramMatrix(columns: columns, blockColumns: blockColumns(columns))
    // The number of an expert's tokens is not known in advance.
    let isShort = key.isExpert || tokens < Self.ampleTokens * columns
    return Sums(gram: empty, heldOut: isShort && !key.isRouter ? empty : nil)
  }

  private func add(_ x: Span<Float>, _ columns: Int, to sums: inout Sums) throws {
    guard sums.heldOut != nil else { return try sums.gram.add(x) }
    let rows = x.count / columns
    var row = 0
    while row < rows {
      let run = GramInput.heldOutRun
      let count = min(rows - row, run - sums.tokens % run)
      let part = x.extracting(row * columns..<(row + count) * columns)
      if sums.tokens / run % 4 == 3 { try sums.heldOut?.add(part) } else { try sums.gram.add(part) }
      sums.tokens += count
      row += count
    }
  }

  /// Passes on all open inputs, at the end of a layer.
  public func close() throws {
    while !open.isEmpty {
      // Removed from the list, so that the sums are finished in place.
      var (key, sums) = open.removeFirst()
      try sums.gram.finish()
      try sums.heldOut?.finish()
      if key.isRouter, let index = TensorName(key.tensors[0]).layer { layer = (index, sums.gram) }
      guard key.tensors.contains(where: wants) else { continue }
      let isFirstOfExpert = key.isExpert && layer?.gram.columns == sums.gram.columns
      try receive(
        GramInput(
          tensors: key.tensors, matrix: key.matrix, gram: sums.gram, heldOut: sums.heldOut,
          layer: isFirstOfExpert && !key.tensors[0].contains("ffn_down") ? layer?.gram : nil))
    }
  }
}
