import GGUF
import Tensors
import Transformer

/// The Gram matrices of one input, all of whose tokens were seen.
public struct GramInput: Sendable {
  /// The tensors that are multiplied by it.
  public let tensors: [String]
  /// Which of their matrices.
  public let matrix: ObservedMatrix
  /// Of all tokens, unless some were held out.
  public let gram: GramMatrix
  /// Of tokens that are in no other sum: one block of ``heldOutRun`` in four. nil where none were held out.
  public let heldOut: GramMatrix?
  /// For an expert's first matrices: of all tokens of the layer, routed here or not.
  public let layer: GramMatrix?

  /// Tokens, also those that were held out.
  public var tokens: Int { gram.tokens + (heldOut?.tokens ?? 0) }

  /// Consecutive tokens of an input that are held out together: neighbours are too much alike to judge one another.
  static let heldOutRun = 16
}

/// Sums the Gram matrix of every input of a forward pass, and hands each on as soon as it is whole, so that those of one
/// or two inputs are in memory at a time.
///
///     let collector = GramCollector(tokens: windows.count * 512) { input in ... }
///     _ = try pass.run(windows: windows, scored: 0..<0, observer: collector, snapshot: { _ in try collector.close() })
///     try collector.close()
///
/// An input is whole when another one begins, since observers hear of one after the other; the heads of latent attention
/// alone are heard of together, window after window.
public final class GramCollector: ForwardObserver {
  public let wantsOutput: Bool
  /// Bytes of sums at the same time, and what the receiver needs beside them.
  public let workBytes: Int
  private let tokens: Int
  private let wants: (String) -> Bool
  private let blockColumns: (Int) -> Int
  private let receive: (GramInput) throws -> Void

  private var open: [(key: Key, sums: Sums)] = []
  /// Of the router's input, for the experts of its layer.
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
  ///   - tokens: in all windows.
  ///   - wants: whether a tensor's inputs are wanted. Without one that is, an input is not summed.
  ///   - blockColumns: for inputs of so many columns, those of a diagonal block.
  ///   - workBytes: what the sums and `receive` take at most.
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

  /// Inputs with fewer tokens for each column are held to be short of them: part of the tokens judges how far the sums of
  /// the others are to be believed.
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
    // How many tokens an expert gets is not known before.
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

  /// Hands on what is open: a layer has ended.
  public func close() throws {
    while !open.isEmpty {
      // Held by nothing else, so that its sums are finished where they are.
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
