"""The automation of a server that ends runs whose process is gone; ``make deploy`` registers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import AutomationCore

AUTOMATION = "tad: mark runs without a heartbeat as crashed"
#: Heartbeats come every 30 seconds, but none arrives while the server is away: it counts its own absence as silence,
#: and would take live runs for dead when it is back.
_SILENCE_S = 300


def heartbeat_automation() -> AutomationCore:
    """A run that has sent heartbeats, and then neither another nor its end, has died with its machine: Crashed."""
    from datetime import timedelta

    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    beat = "prefect.flow-run.heartbeat"
    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    return AutomationCore(
        name=AUTOMATION,
        description=f"No heartbeat for {_SILENCE_S} s: worker and run are gone. Retry the run to go on.",
        trigger=EventTrigger(
            after={beat},
            expect={beat, *ends},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=_SILENCE_S),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message=f"No heartbeat for {_SILENCE_S} s: the run's process is gone. Retry goes on where it was.",
            )
        ],
    )


def put_automation(client: SyncPrefectClient, wanted: AutomationCore) -> str:
    """Register it, or put right what differs; found by its name, and whether it is switched on is for people to say.

    Returns:
        A line that says which: ``created``, ``updated`` or ``unchanged``.
    """
    known = client.request("POST", "/automations/filter", json={"limit": 200}).json()
    found = next((item for item in known if item["name"] == wanted.name), None)
    body = wanted.model_dump(mode="json", exclude={"owner_resource"})  # which an update may not name
    if found is None:
        client.request("POST", "/automations/", json=body)
        return f"automation {wanted.name!r}: created"
    if all(_same(body[part], found.get(part)) for part in ("description", "trigger", "actions")):
        return f"automation {wanted.name!r}: unchanged"
    client.request("PUT", f"/automations/{found['id']}", json={**body, "enabled": found["enabled"]})
    return f"automation {wanted.name!r}: updated"


def _same(wanted: Any, found: Any) -> bool:
    """Whether ``found`` says what ``wanted`` says; sets have no order, and the server adds ids."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(_same(value, found.get(name)) for name, value in wanted.items() if name != "id")
    if isinstance(wanted, list) and isinstance(found, list):
        if all(isinstance(entry, str) for entry in (*wanted, *found)):
            return sorted(wanted) == sorted(found)
        return len(wanted) == len(found) and all(map(_same, wanted, found))
    return bool(wanted == found)
