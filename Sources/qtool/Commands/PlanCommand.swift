import ArgumentParser
import Checkpoint
import Files
import GGUF
import MLX
import Plan
import Quantize

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Show which mixes of a model fit a machine, with memory, speed and drift.",
    discussion: """
      SOURCE is a GGUF (or its first shard, or just its first bytes), a folder with config.json, a config.json, or the \
      name of a known model. Shapes alone give exact sizes; speeds are estimates from the machine's bandwidth.

        qtool plan Llama-3.3-70B --machine m3-ultra-256 --context 32k
        qtool plan config.json --memory 256GB --bandwidth 819GB/s --reserve 12GB
        qtool plan DeepSeek-R1 --machine m3-ultra-256 --target 190GB --kv q8_0
        qtool plan --list
      """)

  @Argument(help: "The model to plan.", completion: .file()) var source: String?
  @Flag(name: .long, help: "List the known models and machines.") var list = false
  @OptionGroup(title: "Machine") var machine: MachineOptions
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Tokens of context, such as 32768 or 32k (default: the model's, at most 8k).", valueName: "tokens")
  )
  var context: ContextLength?
  @Option(name: .long, help: ArgumentHelp("The type of the KV cache, f16 or q8_0.", valueName: "type"))
  var kv = CacheType.f16
  @Option(name: .long, help: ArgumentHelp("Add a row for a file of this size.", valueName: "size"))
  var target: ByteSize?
  @Option(
    name: .long, parsing: .upToNextOption, help: ArgumentHelp("Show only these mixes.", valueName: "name"),
    completion: .list(StockMix.allCases.map(\.rawValue)))
  var type: [String] = []
  @Option(
    name: .long,
    help: ArgumentHelp("The form of the files; those of mlx are made without importance.", valueName: "form"))
  var format = OutputFormat.gguf
  @Flag(name: .long, help: "Show sizes of mixes made without an importance matrix (a few differ).")
  var noImportance = false
  @Flag(name: .long, help: "Let mixes change tensors that are published in blocks.") var allowRequantize = false
  @Flag(name: .long, help: "Plan DeepSeek files from before April 2025, with the old form of latent attention.")
  var oldMla = false
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Show the times of a run in parts on a cluster, such as 8x64: nodes and their cores. --bandwidth is then that of the "
        + "shared file system (default: 2GB/s), --memory that of a node.", valueName: "nodes x cores"))
  var cluster: ClusterSize?
  @Flag(name: .long, help: "Print JSON.") var json = false
  @OptionGroup(title: "Checkpoint") var config: ConfigOptions

  func validate() throws {
    guard format == .gguf || !oldMla else { throw ValidationError("--old-mla is a form of GGUFs") }
    if cluster != nil, list || json || target != nil {
      throw ValidationError("--cluster can't be combined with --list, --json or --target")
    }
    guard list != (source != nil) else { throw ValidationError("name a model to plan, or give --list") }
  }

  func run() throws {
    guard let source else {
      if json { try printJSON(KnownNames.json) } else { print(KnownNames.text) }
      return
    }
    if let cluster { return try show(cluster, source) }
    let report = try PlanReport(
      plan(source), types: type, mixes: mixes, machine: machine.name, target: target)
    if json {
      try printJSON(report.json)
    } else {
      for warning in report.warnings { Progress(quiet: false).note("warning: \(warning)") }
      print(report.text)
    }
    try report.plan.checkThatSomethingFits()
  }

  private var mixes: [PlannedMix] {
    guard format == .mlx else { return PlannedMix.all(hasImportance: !noImportance, beforeSplitLatents: oldMla) }
    return PlannedMix.mlx(and: type)
  }

  private func open(_ source: String) throws -> PlanSource {
    do {
      let path = try HubModels.path(source)
      let opened = try PlanSource(
        path, ignoring: config.ignored, carriesPrediction: !config.dropsPrediction,
        readsWeights: !Self.isMLX(path))
      if opened.isGGUF { try config.checkPrediction(of: opened.model, path: source) }
      for note in opened.notes { Progress(quiet: false).note("note: \(note)") }
      return opened
    } catch let error as PlanError where error.kind == .missing {
      throw Failure(error)?.suggesting(source, among: KnownShape.all.flatMap { [$0.name] + $0.aliases }) ?? error
    }
  }

  /// Whether a folder on a disk has weights in MLX's form.
  private static func isMLX(_ path: String) -> Bool {
    RemoteFiles.file(at: path + "/config.json") == nil && MLXModel.isMLX(path)
  }

  private func show(_ cluster: ClusterSize, _ source: String) throws {
    if let memory = machine.memory, memory.bytes < ClusterPlan.minimumMemory {
      throw Failure(
        .unmet, "--memory \(Figures.bytes(memory.bytes)): a part needs \(Figures.bytes(ClusterPlan.minimumMemory))",
        hint: "use larger nodes")
    }
    var assumptions = ClusterPlan.Assumptions()
    if let bandwidth = machine.bandwidth { assumptions.sharedBandwidth = bandwidth.bytesPerSecond }
    let opened = try open(source)
    let plan = try ClusterPlan(
      opened.model, storedBytes: opened.storedBytes, cores: cluster.cores, assumptions: assumptions)
    print(ClusterReport(name: opened.model.name, plan: plan, size: cluster).text)
  }

  private func plan(_ source: String) throws -> MemoryPlan {
    let opened = try open(source)
    var model = opened.model
    if oldMla {
      guard let old = TypedShapes(oldLatentFormOf: model) else {
        throw Failure(.usage, "--old-mla: \(model.name) has no latent attention, or is already in the old form")
      }
      model = old
    }
    if format == .mlx {
      guard let directory = opened.directory else {
        throw Failure(
          .usage, "--format mlx: \(model.name) is not a folder with config.json",
          hint: "the sizes of all files are needed")
      }
      model = try MLXSource(describing: model, directory: directory, version: QTool.version)
      Progress(quiet: false).noteFloats(in: model)
    }
    let trained = try ModelDimensions(of: model).trainedContext
    var plan = try MemoryPlan(
      model, machine: try machine.chosen(), context: context?.tokens ?? min(trained ?? 8192, 8192), cache: kv,
      publishedMetadata: opened.publishedMetadata,
      keeping: allowRequantize || format == .mlx || oldMla ? [] : opened.publishedBlocks)
    if let type = model.tensors.first(where: { plan.kept.contains($0.name) })?.type {
      Progress(quiet: false).note(
        "note: \(plan.kept.count) tensors keep \(type), in which they are published; --allow-requantize plans them in "
          + "the types of the mixes")
    }
    for mix in mixes { plan.add(mix) }
    if opened.isFile { plan.addUnchanged(named: "unchanged") }
    if let target { plan.add(target: target.bytes, named: "target") }
    return plan
  }
}

extension PlanSource {
  /// One line for each remark on the model.
  fileprivate var notes: [String] {
    var notes = model is CheckpointDirectory ? model.openingNotes : configReview?.notes ?? []
    if let fault { notes.append("\(model.name) is planned from config.json alone: \(fault)") }
    if declaredPrediction > 0 {
      let blocks = declaredPrediction == 1 ? "1 block" : "\(declaredPrediction) blocks"
      notes.append(
        "\(model.name): config.json declares \(blocks) for multi-token prediction, which the sizes include; --no-mtp leaves"
          + " them out")
    }
    return notes
  }
}
