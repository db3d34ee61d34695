import ArgumentParser
import Blocks
import Checkpoint
import Foundation
import GGUF
import Imatrix
import Perplexity
import Quantize
import Sensitivity
import Tensors
import Tokenizers

struct QuantizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quantize",
    abstract: "Write a model as a smaller GGUF: to a size, or as a named mix.",
    discussion: """
      With --target, every tensor gets the type that costs the least drift for its bytes, and the file is never \
      larger. Sizes are decimal (kB, MB, GB) or binary (KiB, MiB, GiB). With --type, a mix of llama-quantize \
      (Q4_K_M, Q3_K_S, ...) or one type for all tensors with --pure.

        qtool quantize Llama-3.1-405B-Instruct --target 190GB -o Llama-3.1-405B-190GB.gguf
        qtool quantize Qwen2.5-7B --type Q4_K_M --imatrix Qwen2.5-7B.imatrix.gguf -o Qwen2.5-7B-Q4_K_M.gguf
      """)

  @Argument(help: "A Hugging Face directory or a GGUF file.") var model: String
  @Option(
    name: .long, help: ArgumentHelp("The size that the file may have, such as 190GB or 177GiB.", valueName: "size"))
  var target: ByteSize?
  @Option(name: .long, help: ArgumentHelp("A mix or type by its name, such as Q4_K_M.", valueName: "name"))
  var type: String?
  @Flag(name: .long, help: "Give every matrix the type itself, without the exceptions of the mix.") var pure = false
  @Option(name: .long, help: ArgumentHelp("An importance matrix (GGUF or .dat).", valueName: "file")) var imatrix:
    String?
  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Calibration text: files or folders (default: the text that ships with qtool).", valueName: "path"))
  var calibration: [String] = []
  @Flag(name: .long, help: "Use no importance at all.") var noImportance = false
  @Flag(name: .long, help: "Quantize from types that are quantized already.") var allowRequantize = false
  @Flag(name: .long, help: "Print the table of tensors, types and bytes, and write nothing.") var dryRun = false
  @Option(name: [.short, .long], help: ArgumentHelp("The file to write.", valueName: "file")) var output: String?
  @Flag(name: .long, help: "Replace a file of that name.") var force = false
  @Flag(name: .long, help: "Begin anew, whatever an interrupted run has left.") var restart = false
  @Flag(name: .long, help: "Write the SHA-256 of every tensor to FILE.sha256, for qtool verify.") var checksums = false
  @OptionGroup(title: "Weights") var weightOptions: WeightOptions
  @OptionGroup(title: "Run") var options: RunOptions

  func validate() throws {
    guard (target == nil) != (type == nil) else { throw ValidationError("give either --target or --type") }
    guard output != nil || dryRun else { throw ValidationError("name the file to write with -o") }
    if noImportance, imatrix != nil || !calibration.isEmpty {
      throw ValidationError("--no-importance contradicts --imatrix and --calibration")
    }
    if pure, type == nil { throw ValidationError("--pure goes with --type") }
  }

  func run() throws {
    let progress = options.apply()
    let destination = output.map {
      OutputOptions(output: $0, force: force, restart: restart, checksums: checksums)
    }
    if !dryRun { try destination?.check(inputs: [model] + (imatrix.map { [$0] } ?? [])) }
    let source = weightOptions.apply(to: try openModel(path: model))
    for tensor in source.tensors where tensor.isQuantizable && tensor.type.isQuantized {
      guard allowRequantize else { throw QuantizeError.needsRequantize(tensor: tensor.name, type: tensor.type) }
      progress.note("warning: \(source.name) is quantized already; what was lost stays lost")
      break
    }
    let plan: RewritePlan
    let weights: ImportanceMatrix?
    if let type {
      weights = try importanceMatrix(of: source, progress)
      plan = try named(type, source, weights)
    } else {
      let matrix = try importanceMatrix(of: source, progress)
      weights = matrix
      plan = try fitted(source, matrix, progress)
    }
    if dryRun {
      print(QuantizationTable.tensors(plan))
      return
    }
    guard let destination else { return }
    _ = try write(plan, importance: weights, to: destination, progress)
    print(QuantizationTable.types(plan))
    print("\n\(destination.output): \(QuantizationTable.total(plan))")
  }

  /// Importance from a file, from calibration text, or none where it is neither given nor needed.
  private func importanceMatrix(of source: any ModelSource, _ progress: Progress) throws -> ImportanceMatrix? {
    if noImportance { return nil }
    if let imatrix {
      let matrix = try ImportanceMatrix(path: imatrix)
      try matrix.check(against: source)
      return matrix
    }
    // A named mix is made as llama-quantize makes it: without importance unless it was asked for.
    if type != nil, calibration.isEmpty { return nil }
    let text = try calibrationText()
    let windows = try text.windows(try Tokenizer(metadata: source.metadata), context: 512)
    return try importance(of: source, text, windows, options, progress)
  }

  private func calibrationText() throws -> Calibration {
    calibration.isEmpty ? try Calibration.shipped() : try Calibration(calibration)
  }

  private func provenance(_ matrix: ImportanceMatrix?) -> ImportanceProvenance? {
    matrix.map {
      ImportanceProvenance(
        file: imatrix ?? "computed", dataset: $0.datasets.joined(separator: " "), entries: $0.entries.count,
        chunks: $0.chunkCount)
    }
  }

  private func named(_ name: String, _ source: any ModelSource, _ matrix: ImportanceMatrix?) throws -> RewritePlan {
    guard let mix = StockMix(name: name) else {
      throw Failure(
        .usage, "--type \(name): no such mix or type",
        hint: "known: " + StockMix.allCases.map(\.rawValue).joined(separator: ", "))
    }
    let types =
      pure
      ? source.tensors.map { $0.isQuantizable ? mix.base.fitting(columns: $0.shape.columns) : $0.type }
      : mix.types(for: source, hasImportance: matrix != nil)
    for (tensor, type) in zip(source.tensors, types) where type != tensor.type {
      guard type.canEncode else { throw QuantizeError.notEncodable(tensor: tensor.name, type: type) }
    }
    return RewritePlan(
      source: source, types: types,
      metadata: source.outputMetadata(fileType: mix.fileType, importance: provenance(matrix)))
  }

  /// The types that cost the least drift for the target's bytes.
  private func fitted(
    _ source: any ModelSource, _ matrix: ImportanceMatrix?, _ progress: Progress
  ) throws -> RewritePlan {
    guard let target else { preconditionFailure("validated") }
    let menu = GGMLType.allCases.filter { $0.canEncode && $0.isQuantized && (matrix != nil || !$0.needsImportance) }
    // Header bytes do not depend on the types: every type id has four bytes.
    let draft = RewritePlan(
      source: source, types: source.tensors.map(\.type),
      metadata: source.outputMetadata(fileType: 0, importance: provenance(matrix)))
    let budget = target.bytes - draft.layout.header.count
    let smallest = source.tensors.reduce(draft.layout.header.count) { sum, tensor in
      sum + Sizes.smallest(tensor, menu: menu, alignment: 32)
    }
    guard smallest <= target.bytes else {
      throw QuantizeError.targetTooSmall(target: target.bytes, smallest: smallest)
    }
    let windows = try calibrationText().windows(try Tokenizer(metadata: source.metadata), context: 256, limit: 16)
    let probes = Probes(source: source, importance: matrix?.lookup, windows: windows, options: options.forward)
    progress.start("\(source.name): sensitivity", total: probes.steps, unit: .steps)
    let table = try probes.measure(types: menu) { done, detail in
      try Interruption.check()
      progress.update(done, detail)
    }
    progress.finish()
    let choices = table.options(for: source, menu: menu, alignment: 32)
    guard let allocation = Allocation(choices, budget: budget) else {
      throw QuantizeError.targetTooSmall(target: target.bytes, smallest: smallest)
    }
    let types = zip(choices, allocation.choices).map { $0[$1].type }
    let fileType = nearestFileType(
      zip(source.tensors, types).map { TensorInfo(name: $0.name, shape: $0.shape, type: $1) })
    return RewritePlan(
      source: source, types: types,
      metadata: source.outputMetadata(fileType: fileType, importance: provenance(matrix)))
  }
}

extension ImportanceMatrix {
  /// The importance of any tensor, as a quantizer asks for it.
  var lookup: Importance {
    { tensor in importance(for: tensor) }
  }
}
