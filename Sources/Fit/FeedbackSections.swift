import Files
import GGUF
import Quantize
import Tensors
import Transformer

// The division of the layers. Where rounded layers run beside the exact ones, each layer is rounded for what those before
// it have lost, so that layers are a chain. Sections cut the chain: the second stream begins each of them with the
// exact model's states. Without a second stream, every layer is a section.

extension FeedbackRun {
  /// Layers whose encoding depends on no other layers.
  var sectionCount: Int { isSequential ? sections : pass.decoder.layerCount }

  /// The first layers of all sections but the first.
  static func starts(ofSections count: Int, layers: Int) -> Set<Int> {
    Set((1..<max(2, count)).map { $0 * layers / count }).subtracting([0])
  }

  /// The first layer of a section; the number of layers for the end of the last.
  private func start(ofSection section: Int) -> Int { section * pass.decoder.layerCount / sectionCount }

  /// The layers before which the second stream begins again.
  var starts: Set<Int> {
    isSequential ? Self.starts(ofSections: sections, layers: pass.decoder.layerCount) : []
  }

  /// The layers of a part: whole sections with an equal share of the weights.
  ///
  /// - Throws: `PartsError` for more parts than sections.
  func layers(of part: RunPart?) throws -> Range<Int> {
    guard let part else { return 0..<pass.decoder.layerCount }
    guard part.count <= sectionCount else {
      throw PartsError.tooMany(
        count: part.count, units: sectionCount, unit: isSequential ? "sections of layers" : "layers")
    }
    let range = part.range(of: sectionCount)
    return start(ofSection: range.lowerBound)..<start(ofSection: range.upperBound)
  }

  /// The tensors of a part: those of its layers. The head belongs to the last part, all others without a layer to the first.
  func tensors(of part: RunPart) throws -> Set<Int> {
    let layers = try layers(of: part)
    let isLast = part.number == part.count
    let head = pass.decoder.output.name
    return Set(
      plan.source.tensors.indices.filter { index in
        let name = plan.source.tensors[index].name
        // Layers of other uses follow those of the pass.
        if let layer = TensorName(name).layer { return layers.contains(layer) || isLast && layer >= layers.upperBound }
        return name == head ? isLast : part.number == 1
      })
  }
}

extension FeedbackRun {
  /// The first layer of a part that begins with kept states, after checking that they are complete; nil where the part
  /// begins with the embedding or computes the states itself.
  public func keptStart(of part: RunPart?) throws -> Int? {
    let start = try layers(of: part).lowerBound
    guard start > 0, let keptStates else { return nil }
    try keptStates.check(before: start, by: pass)
    return start
  }

  /// The states before the layers of a part that an earlier run has kept; nil to compute them.
  func states(before layer: Int) throws -> HiddenStates? {
    guard layer > 0, let keptStates else { return nil }
    return try keptStates.states(before: layer, by: pass, passPlan())
  }

  /// The work of a part, from that of the whole run.
  public func share(of part: RunPart?, in work: FeedbackWork) throws -> FeedbackWork {
    guard let part else { return work }
    let (layers, chosen) = (try layers(of: part), try tensors(of: part))
    let count = Double(max(1, pass.decoder.layerCount))
    let first = keptStates == nil ? 0 : layers.lowerBound
    var work = work
    work.keep(
      chosen,
      bytes: chosen.reduce(0) { $0 + (plan.source.tensors[$1].shape.bytes(as: plan.source.tensors[$1].type) ?? 0) },
      passing: Double(first) / count...Double(layers.upperBound) / count)
    return work
  }

  /// The structure of the model.
  public var decoder: Decoder { pass.decoder }

  /// Takes the states that parts begin with from a folder.
  public mutating func take(statesOf folder: String, version: String) throws {
    keptStates = try KeptStates(folder: folder, of: plan.source, version: version, windows: windows, by: pass)
  }
}

extension KeptStates {
  /// The states of a model's text, as a version of the program computes them.
  init(
    folder: String, of source: any ModelSource, version: String, windows: [[Int32]], by pass: ForwardPass
  ) throws {
    self.init(
      folder: folder, model: try ModelFingerprint(of: source).hex, version: version, windows: windows, by: pass)
  }
}

/// Tells an observer of the inputs of a layer and of those after it.
final class LaterLayers: ForwardObserver {
  private let base: any ForwardObserver
  private let first: Int

  init(of base: any ForwardObserver, from first: Int) { (self.base, self.first) = (base, first) }

  var wantsOutput: Bool { base.wantsOutput }
  var wantsAllExperts: Bool { base.wantsAllExperts }
  var finishedBytesPerColumn: Int { base.finishedBytesPerColumn }
  var workBytes: Int { base.workBytes }

  func observe(_ tensors: [String], inputs: Span<Float>, columns: Int, matrix: ObservedMatrix) throws {
    if let layer = TensorName(tensors[0]).layer, layer < first { return }
    try base.observe(tensors, inputs: inputs, columns: columns, matrix: matrix)
  }
}
