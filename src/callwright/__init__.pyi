from callwright.agent.execution import PolicyRefusal as PolicyRefusal
from callwright.scenario import actions as actions
from callwright.scenario.scenario import Scenario as Scenario
from callwright.scenario.source import DocumentError as DocumentError
from callwright.scripting.live_call import Invitation as Invitation
from callwright.scripting.live_call import LiveCall as LiveCall
from callwright.scripting.phone import Phone as Phone
from callwright.scripting.running import call as call
from callwright.scripting.running import reference_pbx as reference_pbx
from callwright.scripting.running import run as run
from callwright.version import __version__ as __version__

__all__: list[str]
