"""What an operator sets of traces, by OpenTelemetry's own variables; read by `deploy.settings`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.sampling import Sampler

SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
SAMPLER_DEFAULT = "parentbased_always_on"


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Where spans are sent, as whose, and which. `ratio` is the share of traces, as text from 0 to 1."""

    endpoint: str
    service_name: str = "meterline"
    sampler_name: str = SAMPLER_DEFAULT
    ratio: str = "1"

    def sampler(self) -> "Sampler":
        """Give the SDK's sampler."""
        from opentelemetry.sdk.trace import sampling

        root = self.sampler_name.removeprefix("parentbased_")
        own: Sampler
        if root == "traceidratio":
            own = sampling.TraceIdRatioBased(float(self.ratio))
        else:
            own = sampling.ALWAYS_ON if root == "always_on" else sampling.ALWAYS_OFF
        return sampling.ParentBased(own) if self.sampler_name.startswith("parentbased_") else own
