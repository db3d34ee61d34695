import Plan

/// `qtool plan --json`.
struct PlanJSON: Encodable {
  struct Model: Encodable {
    let name: String
    let architecture: String
    let weights: Int
    let layers: Int
    let trainedContext: Int?
    let ropeScaling: String?
  }

  struct Cache: Encodable {
    let type: String
    let bytesPerToken: Int
    let bytes: Int
    /// Form of latent attention in the GGUF, and bytes of the cache in the other form.
    let form: String?
    let otherFormBytes: Int?
  }

  struct Row: Encodable {
    let name: String
    let tensorBytes: Int
    let fileBytes: Int
    let bitsPerWeight: Double
    let totalBytes: Int
    let fits: Bool
    let isBest: Bool
    let tokensPerSecond: Double?
    let tokensPerSecondAtFullContext: Double?
    let needsImportance: Bool
    let kind: PlanRow.Kind
    let publishedKLD: Double?
    let expectedKLD: Double?
    let compatibility: [Compatibility.Verdict]?
  }

  let model: Model
  let machine: MachineJSON
  let context: Int
  let cache: Cache
  let activationBytes: Int
  let overheadBytes: Int
  let metadataBytes: Int
  let metadataKind: MetadataSize.Kind
  let largestFileBytes: Int
  let rows: [Row]
  let warnings: [String]
}

struct MachineJSON: Encodable {
  let name: String
  let title: String
  let memoryBytes: Int
  let limitBytes: Int
  let limitSource: String
  let reserveBytes: Int
  let usableBytes: Int
  let bandwidthBytesPerSecond: Double?
  let bandwidthSource: String
  let denseEfficiency: Double
  let expertEfficiency: Double
  let efficiencySource: String

  init(_ machine: Machine) {
    name = machine.name
    title = machine.title
    memoryBytes = machine.memory
    limitBytes = machine.limit
    limitSource = machine.limitSource
    reserveBytes = machine.reserve
    usableBytes = machine.usable
    bandwidthBytesPerSecond = machine.bandwidth
    bandwidthSource = machine.bandwidthSource
    denseEfficiency = machine.efficiency.dense
    expertEfficiency = machine.efficiency.experts
    efficiencySource = machine.efficiency.source
  }
}

extension PlanReport {
  var json: PlanJSON {
    let model = plan.dimensions
    let best = plan.best
    let other = model.latent.map { KeyValueCache(model, expanded: !$0.isExpanded) }
    return PlanJSON(
      model: PlanJSON.Model(
        name: plan.model.name, architecture: model.architecture, weights: plan.weights, layers: model.layers,
        trainedContext: model.trainedContext, ropeScaling: model.ropeScaling),
      machine: MachineJSON(plan.machine), context: plan.context,
      cache: PlanJSON.Cache(
        type: plan.cacheType.rawValue, bytesPerToken: plan.cache.bytesPerToken(plan.cacheType) ?? 0,
        bytes: plan.cacheBytes, form: model.latent.map { $0.isExpanded ? "old" : "current" },
        otherFormBytes: other?.bytes(context: plan.context, plan.cacheType)),
      activationBytes: plan.working.activations, overheadBytes: plan.working.overhead,
      metadataBytes: plan.metadata.bytes, metadataKind: plan.metadata.kind, largestFileBytes: plan.largestFile,
      rows: shown.map { index in
        let row = plan.rows[index]
        return PlanJSON.Row(
          name: row.name, tensorBytes: row.tensorBytes, fileBytes: row.fileBytes, bitsPerWeight: row.bitsPerWeight,
          totalBytes: row.totalBytes, fits: row.fits, isBest: index == best, tokensPerSecond: row.tokensPerSecond,
          tokensPerSecondAtFullContext: row.tokensPerSecondAtFullContext, needsImportance: row.needsImportance,
          kind: row.kind,
          publishedKLD: row.publishedDrift, expectedKLD: plan.expectedDrift(of: row),
          compatibility: row.compatibility?.verdicts)
      }, warnings: warnings)
  }
}
