extension KeyTable {
  /// The keys with the same meaning for every decoder.
  static let shared = KeyTable(
    honoured: [
      "architectures", "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads",
      "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings", "rms_norm_eps", "rope_theta",
      "rope_scaling", "rope_parameters", "original_max_position_embeddings", "tie_word_embeddings", "dtype",
      "torch_dtype",
      "quantization_config", "quantization", "transformers_weights", "_name_or_path", "bos_token_id", "eos_token_id",
      "pad_token_id", "unk_token_id",
      "sep_token_id", "cls_token_id", "mask_token_id",
    ],
    harmless: [
      // The `transformers` package, its classes and its files.
      "model_type", "transformers_version", "auto_map", "name_or_path", "tokenizer_class", "task_specific_params",
      "finetuning_task", "problem_type", "id2label", "label2id", "num_labels", "prefix", "torchscript", "return_dict",
      "use_return_dict", "output_attentions", "output_hidden_states", "output_router_logits", "is_decoder",
      "tie_encoder_decoder", "tf_legacy_loss", "use_bfloat16", "decoder_start_token_id", "padding_side",
      "tokenizer_padding_side", "model_max_length", "max_sequence_length", "language", "license", "datasets",
      "base_model",
      // Training.
      "initializer_range", "initializer_factor", "attention_dropout", "attn_dropout", "attn_pdrop",
      "attention_probs_dropout_prob", "hidden_dropout", "hidden_dropout_prob", "resid_pdrop", "residual_dropout",
      "resid_dropout", "embd_pdrop", "embedding_dropout", "embd_dropout", "dropout", "classifier_dropout",
      "classifier_dropout_prob", "summary_first_dropout", "gradient_checkpointing", "use_gradient_checkpointing",
      "router_aux_loss_coef", "router_jitter_noise", "router_z_loss_coef", "aux_loss_alpha", "seq_aux",
      "moe_aux_loss_coeff", "z_loss_coef", "unsloth_version", "unsloth_fixed", "pretraining_tp", "ep_size",
      "rope_finetuned",
      // Implementation.
      "use_cache", "attn_implementation", "experts_implementation", "use_flash_attn", "use_flash_attention",
      "use_flash_attention_2", "use_sdpa", "use_xformers", "flash_attn", "chunk_size_feed_forward",
      "cache_implementation",
      "fused_mlp", "use_fused_rms_norm", "use_fused_rope", "use_mem_eff_attention", "num_key_value_groups",
      "transformers.js_config",
      // Towers of vision and audio, which are left out, and their places in a text.
      "vision_config", "audio_config", "language_model_only", "image_token_id", "image_token_index", "video_token_id",
      "video_token_index", "audio_token_id", "audio_token_index", "vision_start_token_id", "vision_end_token_id",
      "boi_token_id", "boi_token_index", "eoi_token_id", "eoi_token_index", "boa_token_id", "boa_token_index",
      "eoa_token_id", "eoa_token_index",
      // Layers for multi-token prediction, which are left out or carried.
      "num_nextn_predict_layers", "num_mtp_layers", "mtp_num_hidden_layers",
      // Positions of images. Positions of text are equal on all axes.
      "use_mrope", "mrope_section",
      // Generation.
      "do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff",
      "repetition_penalty", "encoder_repetition_penalty", "length_penalty", "diversity_penalty", "no_repeat_ngram_size",
      "encoder_no_repeat_ngram_size", "max_length", "min_length", "max_new_tokens", "min_new_tokens", "early_stopping",
      "num_beams", "num_beam_groups", "num_return_sequences", "bad_words_ids", "suppress_tokens",
      "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty",
      "remove_invalid_values", "output_scores", "return_dict_in_generate", "guidance_scale", "stop_strings",
      // Without effect unless `use_sliding_window` is true.
      "max_window_layers", "sliding_window",
    ],
    rules: [
      .only(
        "hidden_act", "hidden_activation", "activation_function", "hidden_act_fn", "mlp_hidden_act",
        are: .string("silu"), .string("swish")),
      .only(
        "embedding_multiplier", "residual_multiplier", "logits_scaling", "logit_scale", "embedding_scale", "scale_emb",
        "lm_head_multiplier", "output_multiplier_scale", "embedding_multiplier_scale", "rope_ratio", are: .int(1)),
      .none(
        "attention_multiplier", "scale_depth", "dim_model_base", "query_pre_attn_scalar", "attn_logit_softcapping",
        "final_logit_softcapping", "attn_logit_softcap", "final_logit_softcap", "logit_softcap",
        "router_logit_softcapping", "clip_qkv", "swiglu_limit", "attention_chunk_size", "attn_temperature_tuning",
        "no_rope_layers", "no_rope_layer_interval", "alibi", "use_alibi", "use_dynamic_ntk", "use_logn_attn",
        "attention_sinks", "use_attention_sinks", "attn_output_gate", "use_output_gate", "index_topk", "text_config",
        "pruned_heads", "rotary_emb_base", "rope_local_base_freq", "local_rope_theta", "global_rope_theta",
        "num_kv_shared_layers", "hidden_size_per_layer_input", "use_double_wide_mlp", "cross_layer_attention"),
      .none(
        "use_bias", "bias", "add_bias_linear", "attn_bias", "o_bias", "attention_out_bias", "attention_output_bias",
        "lm_head_bias", "router_bias", "use_routing_bias", "use_expert_bias"),
      .none(
        "parallel_attn", "use_parallel_residual", "parallel_residual", "apply_residual_connection_post_layernorm",
        "post_norm", "use_post_norm", "sandwich_norm", "norm_after", "is_encoder_decoder", "add_cross_attention",
        "use_bidirectional_attention", "interleaved_sliding_window", "sliding_window_pattern"),
      .only("is_causal", are: .bool(true)),
      .only("use_rms_norm", "use_rmsnorm", are: .bool(true)),
      .only(
        "norm_type", "normalization_type", "layer_norm_type", are: .string("rmsnorm"), .string("rms_norm"),
        .string("RMSNorm")),
      .only("position_embedding_type", are: .string("rope"), .string("rotary")),
      .only("partial_rotary_factor", "rotary_pct", "rope_pct", "rope_percent", are: .int(1)),
    ])

  /// The keys that the dense architectures share.
  static let dense = KeyTable(rules: [
    .only(
      "num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok", are: .int(0), .int(1))
  ])

  /// The keys that mixtures of experts without groups and shared experts have in common. Their weights are a softmax
  /// over all experts, normalised over the selected ones.
  static let plainExperts = KeyTable(
    honoured: ["num_experts_per_tok", "num_local_experts", "num_experts"],
    rules: [
      .only("scoring_func", "score_func", "moe_router_activation", are: .string("softmax")),
      .only("topk_method", are: .string("greedy")),
      .only("routed_scaling_factor", "moe_layer_freq", are: .int(1)),
      .only("n_group", "topk_group", are: .int(0), .int(1)),
      .only(
        "n_shared_experts", "num_shared_experts", "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size", "first_k_dense_replace", are: .int(0)),
    ])

  /// The same keys without the rules for one of them.
  func exempting(_ name: String) -> KeyTable {
    KeyTable(
      honoured: honoured, harmless: harmless,
      rules: rules.map { rule in
        KeyRule(named: rule.names) { rule.refused($0, $1).filter { $0.name != name } }
      })
  }

  func adding(_ other: KeyTable) -> KeyTable {
    KeyTable(
      honoured: honoured.union(other.honoured), harmless: harmless.union(other.harmless), rules: rules + other.rules)
  }
}
