import ArgumentParser
import GGUF
import MLX
import Plan
import Quantize
import Tensors

/// A target from a machine: its memory less the KV cache of a context.
struct FitOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Make the largest file that fits a machine, such as m3-ultra-256 or this; qtool plan --list shows them.",
      valueName: "machine"), completion: .list(["this"] + Machines.all.map(\.name)))
  var fit: String?
  @Option(name: .long, help: ArgumentHelp("With --fit: tokens of context, such as 32k.", valueName: "tokens"))
  var context: ContextLength?
  @Option(
    name: .long,
    help: ArgumentHelp("With --fit: the type of the KV cache, f16 or q8_0.", valueName: "type"))
  var kv: CacheType?

  func validate() throws {
    if fit == nil, context != nil || kv != nil { throw ValidationError("--context and --kv need --fit") }
  }

  /// Maximum bytes of the file: the machine's remaining memory.
  ///
  /// - Throws: `PlanError` if nothing fits, and `Failure` if the unchanged model does.
  func target(for model: any ModelSource, hasImportance: Bool, _ progress: Progress) throws -> ByteSize? {
    guard let fit else { return nil }
    let trained = try ModelDimensions(of: model).trainedContext
    var plan = try MemoryPlan(
      model, machine: try namedMachine(fit), context: context?.tokens ?? min(trained ?? 8192, 8192),
      cache: kv ?? .f16)
    let mixes = model is MLXSource ? PlannedMix.mlx() : PlannedMix.all(hasImportance: hasImportance)
    for mix in mixes where hasImportance || !mix.needsImportance { plan.add(mix) }
    try plan.checkThatSomethingFits()
    let whole = plan.unchangedBytes
    progress.note(
      "\(plan.machine.title) holds a file of \(Figures.grouped(plan.largestFile)) bytes at a context of "
        + Figures.grouped(plan.context))
    guard plan.largestFile < whole else {
      throw Failure(
        .usage, "--fit: \(plan.machine.title) holds the unchanged model, of \(Figures.grouped(whole)) bytes",
        hint: "--type COPY writes it; --target makes a smaller file")
    }
    return ByteSize(bytes: plan.largestFile)
  }
}
