"""Tiny random pipelines on disk, in the layout of real ones: what the diffusers adapter's tests load."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import (
    AmusedPipeline,
    AmusedScheduler,
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    HunyuanDiT2DModel,
    HunyuanDiTPipeline,
    KandinskyV22CombinedPipeline,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    LDMTextToImagePipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    PriorTransformer,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UnCLIPScheduler,
    UNet2DConditionModel,
    UVit2DModel,
    VQModel,
)
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

CONTEXT = 16
WIDTH = 32


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a tiny pipeline by its kind, saved at the first request."""
    root = tmp_path_factory.mktemp("pipelines")
    tokens = _tokenizer(root / "tokenizer")
    build: dict[str, Callable[[CLIPTokenizer], DiffusionPipeline]] = {
        "stable-diffusion": _stable_diffusion,
        "sd3": _sd3,
        "lcm": _lcm,
        "amused": _amused,
        "pixart": _pixart,
        "ldm": _ldm,
        "sdxl": _sdxl,
        "flux": _flux,
        "auraflow": _auraflow,
        "hunyuan": _hunyuan,
        "kandinsky": _kandinsky,
    }

    def directory(kind: str) -> Path:
        place = root / kind
        if not place.exists():
            torch.manual_seed(0)
            build[kind](tokens).save_pretrained(place)
        return place

    return directory


def _tokenizer(directory: Path) -> CLIPTokenizer:
    """A tokenizer of single letters."""
    directory.mkdir()
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    entries = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (directory / "vocab.json").write_text(json.dumps({entry: i for i, entry in enumerate(entries)}))
    (directory / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        vocab=str(directory / "vocab.json"), merges=str(directory / "merges.txt"), model_max_length=CONTEXT
    )


def _text_config(tokens: CLIPTokenizer) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        projection_dim=WIDTH,
        bos_token_id=52,
        eos_token_id=53,
        pad_token_id=53,
    )


def _t5_config(tokens: CLIPTokenizer) -> T5Config:
    return T5Config(vocab_size=len(tokens), d_model=WIDTH, d_kv=8, d_ff=WIDTH, num_layers=1, num_heads=2)


def _vae(channels: int = 4, blocks: int = 2) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=[8] * blocks,
        down_block_types=["DownEncoderBlock2D"] * blocks,
        up_block_types=["UpDecoderBlock2D"] * blocks,
        latent_channels=channels,
        shift_factor=0.0,
        norm_num_groups=4,
        use_quant_conv=channels == 4,
        use_post_quant_conv=channels == 4,
    )


def _unet(**more: object) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
        norm_num_groups=4,
        **({"cross_attention_dim": WIDTH} | more),
    )


def _stable_diffusion(tokens: CLIPTokenizer) -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(tokens)),
        tokenizer=tokens,
        unet=_unet(),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _lcm(tokens: CLIPTokenizer) -> LatentConsistencyModelPipeline:
    return LatentConsistencyModelPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(tokens)),
        tokenizer=tokens,
        unet=_unet(time_cond_proj_dim=8),
        scheduler=LCMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sd3(tokens: CLIPTokenizer) -> StableDiffusion3Pipeline:
    """Without its T5, as small installations run it."""
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=16,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=2 * WIDTH,
            caption_projection_dim=16,
            pooled_projection_dim=2 * WIDTH,
            out_channels=16,
            pos_embed_max_size=32,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(16),
        text_encoder=CLIPTextModelWithProjection(_text_config(tokens)),
        tokenizer=tokens,
        text_encoder_2=CLIPTextModelWithProjection(_text_config(tokens)),
        tokenizer_2=tokens,
        text_encoder_3=None,
        tokenizer_3=None,
    )


def _pixart(tokens: CLIPTokenizer) -> PixArtSigmaPipeline:
    return PixArtSigmaPipeline(
        transformer=PixArtTransformer2DModel(
            sample_size=16,
            num_layers=2,
            patch_size=2,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_channels=WIDTH,
            in_channels=4,
            cross_attention_dim=16,
            out_channels=8,
            use_additional_conditions=False,
        ),
        scheduler=DPMSolverMultistepScheduler(),
        vae=_vae(),
        tokenizer=tokens,
        text_encoder=T5EncoderModel(_t5_config(tokens)),
    )


def _amused(tokens: CLIPTokenizer) -> AmusedPipeline:
    return AmusedPipeline(
        vqvae=VQModel(
            block_out_channels=[8, 16],
            down_block_types=["DownEncoderBlock2D"] * 2,
            up_block_types=["UpDecoderBlock2D"] * 2,
            latent_channels=8,
            num_vq_embeddings=32,
            norm_num_groups=4,
            mid_block_add_attention=False,
            lookup_from_codebook=True,
        ),
        tokenizer=tokens,
        text_encoder=CLIPTextModelWithProjection(_text_config(tokens)),
        transformer=UVit2DModel(
            hidden_size=WIDTH,
            cond_embed_dim=WIDTH,
            encoder_hidden_size=WIDTH,
            micro_cond_encode_dim=2,
            micro_cond_embed_dim=10,
            vocab_size=33,
            codebook_size=32,
            in_channels=8,
            block_out_channels=8,
            block_num_heads=1,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_res_blocks=1,
            intermediate_size=WIDTH,
            sample_size=16,
            downsample=False,
            upsample=False,
        ),
        scheduler=AmusedScheduler(mask_token_id=32),
    )


def _ldm(tokens: CLIPTokenizer) -> LDMTextToImagePipeline:
    """A pipeline without any callback or size."""
    return LDMTextToImagePipeline(
        vqvae=_vae(),
        bert=CLIPTextModel(_text_config(tokens)),
        tokenizer=tokens,
        unet=_unet(),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
    )


def _sdxl(tokens: CLIPTokenizer) -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(tokens)),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(tokens)),
        tokenizer=tokens,
        tokenizer_2=tokens,
        unet=_unet(
            cross_attention_dim=2 * WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        ),
        scheduler=EulerDiscreteScheduler(),
    )


def _flux(tokens: CLIPTokenizer) -> FluxPipeline:
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(16),
        text_encoder=CLIPTextModel(_text_config(tokens)),
        tokenizer=tokens,
        text_encoder_2=T5EncoderModel(_t5_config(tokens)),
        tokenizer_2=tokens,
        transformer=FluxTransformer2DModel(
            in_channels=64,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=True,
        ),
    )


def _auraflow(tokens: CLIPTokenizer) -> AuraFlowPipeline:
    return AuraFlowPipeline(
        tokenizer=tokens,
        text_encoder=UMT5EncoderModel(
            UMT5Config(vocab_size=len(tokens), d_model=WIDTH, d_kv=8, d_ff=WIDTH, num_layers=1, num_heads=2)
        ),
        vae=_vae(),
        transformer=AuraFlowTransformer2DModel(
            sample_size=16,
            num_mmdit_layers=1,
            num_single_dit_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=WIDTH,
            joint_attention_dim=WIDTH,
            out_channels=4,
            pos_embed_max_size=256,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def _hunyuan(tokens: CLIPTokenizer) -> HunyuanDiTPipeline:
    text = BertConfig(
        vocab_size=len(tokens), hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=WIDTH
    )
    return HunyuanDiTPipeline(
        vae=_vae(blocks=4),  # the pipeline takes it for granted that latents are 8 times smaller
        text_encoder=BertModel(text),
        tokenizer=BertTokenizer(vocab=_bert_vocabulary(), model_max_length=77),
        transformer=HunyuanDiT2DModel(
            sample_size=4,
            num_layers=2,
            patch_size=2,
            attention_head_dim=8,
            num_attention_heads=3,
            in_channels=4,
            cross_attention_dim=WIDTH,
            cross_attention_dim_t5=WIDTH,
            pooled_projection_dim=16,
            hidden_size=24,
            activation_fn="gelu-approximate",
        ),
        scheduler=DDPMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        text_encoder_2=T5EncoderModel(_t5_config(tokens)),
        tokenizer_2=tokens,
    )


def _bert_vocabulary() -> dict[str, int]:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, "red", "hat"]
    return {word: i for i, word in enumerate(words)}


def _kandinsky(tokens: CLIPTokenizer) -> KandinskyV22CombinedPipeline:
    """A combined pipeline: text to image embedding, and embedding to image."""
    return KandinskyV22CombinedPipeline(
        unet=UNet2DConditionModel(
            in_channels=4,
            out_channels=8,
            addition_embed_type="image",
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            block_out_channels=(8, 16),
            layers_per_block=1,
            encoder_hid_dim=WIDTH,
            encoder_hid_dim_type="image_proj",
            cross_attention_dim=WIDTH,
            attention_head_dim=4,
            resnet_time_scale_shift="scale_shift",
            norm_num_groups=4,
        ),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        movq=VQModel(
            block_out_channels=[32, 64],
            down_block_types=["DownEncoderBlock2D"] * 2,
            up_block_types=["UpDecoderBlock2D"] * 2,
            latent_channels=4,
            num_vq_embeddings=12,
            norm_num_groups=4,
            norm_type="spatial",
            vq_embed_dim=4,
        ),
        prior_prior=PriorTransformer(
            num_attention_heads=2, attention_head_dim=16, embedding_dim=WIDTH, num_layers=1, num_embeddings=CONTEXT
        ),
        prior_image_encoder=CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=WIDTH,
                intermediate_size=WIDTH,
                projection_dim=WIDTH,
                num_hidden_layers=1,
                num_attention_heads=2,
                image_size=32,
                patch_size=16,
            )
        ),
        prior_text_encoder=CLIPTextModelWithProjection(_text_config(tokens)),
        prior_tokenizer=tokens,
        prior_scheduler=UnCLIPScheduler(prediction_type="sample", num_train_timesteps=10, clip_sample=True),
        prior_image_processor=CLIPImageProcessor(size=32, crop_size=32),
    )
