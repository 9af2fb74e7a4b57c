"""Phrases of `skbert.datasets.make_emails`, and how often they are drawn.

Everything here is invented. A pool has one phrase per line; ``{slot}`` stands for a
phrase of another pool, or for one of the slots that the writer fills itself:

- ``{thing}``, ``{chat}``: of the topic, which is what carries the reason of the e-mail;
- ``{do}``, ``{doing}``, ``{done}``: a task in three verb forms;
- ``{tasks}``: the tasks of a request, as many as the e-mail counts;
- ``{by_when}``: a deadline that fits the reply that is expected;
- ``{first}``, ``{surname}``, ``{n}``, ``{clock}``.

Phrases early in a pool are drawn more often than late ones, so that the rare ones of a
test set have not all been seen in training.
"""

from __future__ import annotations


def _pool(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


def _verbs(text: str) -> tuple[tuple[str, ...], ...]:
    """Parse ``base/gerund/participle`` triples separated by commas."""
    return tuple(
        tuple(form.strip() for form in verb.split("/")) for verb in text.split(",")
    )


FIRST_NAMES = tuple(
    """Mira Tobias Anjali Renske Callum Odile Kwame Lucia Ivo Sunniva Petra Hamid
    Greta Emeka Noor Bastian Yuki Carys Dario Leonie Farid Maeve Joost Ines Pavel
    Thandi Rufus Selma Oisin Bettina Marek Priya Solveig Anton Dilys Enzo""".split()
)

SURNAMES = tuple(
    """Vellacott Brandvold Okonjo Tarrasch Pemberwick Lindqvarn Castellane Dhawale
    Moorcastle Quillfeather Zandstra Harrowgate Ibsenius Maranzo Feldspar Nightingill
    Oduyar Pellerine Rookwood Sandoval-Trent Thistlemere Umbrecht Wexcombe Yarrowby
    Kestrelin Birchover Delacroy Fennimark Grenvold Hollismoor""".split()
)

# Each family: verbs in three forms, and what can follow them.
TASKS = (
    (
        _verbs(
            "send/sending/sent, forward/forwarding/forwarded, mail/mailing/mailed,"
            "pass on/passing on/passed on, share/sharing/shared,"
            "circulate/circulating/circulated, hand over/handing over/handed over,"
            "submit/submitting/submitted, transmit/transmitting/transmitted,"
            "distribute/distributing/distributed, ship/shipping/shipped"
        ),
        _pool(
            """
            {thing}
            {thing} to {first}
            {thing} to everyone on the list
            a copy of {thing}
            the latest version of {thing}
            the remaining pages of {thing} to {first}'s team
            """
        ),
    ),
    (
        _verbs(
            "check/checking/checked, review/reviewing/reviewed,"
            "look over/looking over/looked over, proofread/proofreading/proofread,"
            "go through/going through/gone through, verify/verifying/verified,"
            "examine/examining/examined, inspect/inspecting/inspected,"
            "scrutinise/scrutinising/scrutinised, comb through/combing through/combed"
            " through"
        ),
        _pool(
            """
            {thing}
            {thing} for mistakes
            the numbers in {thing}
            the second half of {thing}
            whether {thing} is still right
            the dates in {thing} with {first}
            """
        ),
    ),
    (
        _verbs(
            "write/writing/written, draft/drafting/drafted,"
            "prepare/preparing/prepared, put together/putting together/put together,"
            "compile/compiling/compiled, sketch/sketching/sketched,"
            "summarise/summarising/summarised, assemble/assembling/assembled,"
            "compose/composing/composed"
        ),
        _pool(
            """
            {thing}
            two paragraphs on {thing}
            a short list of questions about {thing}
            a first version of {thing}
            an overview of {thing} for {first}
            """
        ),
    ),
    (
        _verbs(
            "arrange/arranging/arranged, set up/setting up/set up,"
            "organise/organising/organised, schedule/scheduling/scheduled,"
            "book/booking/booked, fix/fixing/fixed, plan/planning/planned,"
            "line up/lining up/lined up, coordinate/coordinating/coordinated"
        ),
        _pool(
            """
            a call about {thing}
            half an hour with {first} on {thing}
            a meeting on {thing}
            a time to discuss {thing}
            a slot for {thing} {when}
            """
        ),
    ),
    (
        _verbs(
            "update/updating/updated, correct/correcting/corrected,"
            "revise/revising/revised, change/changing/changed,"
            "rework/reworking/reworked, adjust/adjusting/adjusted,"
            "tidy up/tidying up/tidied up, shorten/shortening/shortened,"
            "overhaul/overhauling/overhauled"
        ),
        _pool(
            """
            {thing}
            the wording of {thing}
            the figures in {thing}
            {thing} with what {first} told us
            the front page of {thing}
            """
        ),
    ),
    (
        _verbs(
            "call/calling/called, ask/asking/asked, contact/contacting/contacted,"
            "ring/ringing/rung, phone/phoning/phoned, consult/consulting/consulted,"
            "brief/briefing/briefed, notify/notifying/notified,"
            "get hold of/getting hold of/got hold of, sound out/sounding out/sounded"
            " out"
        ),
        _pool(
            """
            {first} about {thing}
            {first} {surname} regarding {thing}
            {first} and {first} on the subject of {thing}
            the people who look after {thing}
            """
        ),
    ),
    (
        _verbs(
            "approve/approving/approved, sign/signing/signed,"
            "confirm/confirming/confirmed, authorise/authorising/authorised,"
            "sign off/signing off/signed off, endorse/endorsing/endorsed,"
            "release/releasing/released, initial/initialling/initialled"
        ),
        _pool(
            """
            {thing}
            the last page of {thing}
            {thing} on behalf of {first}
            both copies of {thing}
            """
        ),
    ),
    (
        _verbs(
            "find/finding/found, collect/collecting/collected,"
            "pick up/picking up/picked up, gather/gathering/gathered,"
            "dig out/digging out/dug out, locate/locating/located,"
            "retrieve/retrieving/retrieved, track down/tracking down/tracked down,"
            "fetch/fetching/fetched"
        ),
        _pool(
            """
            {thing}
            the original of {thing}
            what is missing from {thing}
            last year's copy of {thing}
            {thing} from {first}'s office
            """
        ),
    ),
)

ACTS = {
    "amend": _pool(
        """
        Correction: {thing} is {when}, not {when}.
        Please use this version of {thing} in place of the last one.
        I made a mistake in {thing}; {n} should read {n}.
        Change of plan: {thing} has moved to {when}.
        Scratch what I wrote about {thing}, the right date is {when}.
        {thing} has been put back to {when}.
        Where my last note said {n}, it ought to have said {n}.
        I have altered two lines of {thing} since you saw it.
        There was an error in {thing}, and the new total is {n}.
        {thing} will now take place at {clock} rather than {clock}.
        What I told you about {thing} was wrong: it is {n}.
        {thing} supersedes the one you got {when_past}.
        We are switching to {clock} for {thing}.
        Small revision on my side: make that {n} for {thing}.
        """
    ),
    "commit": _pool(
        """
        I will {do} {when}.
        I'll {do}.
        Leave it with me, I am going to {do}.
        You will have {thing} from me {when}.
        I promise to {do} {when}.
        Count on me to {do}.
        I shall {do} as soon as I am back at my desk.
        {doing} is at the top of my list for {when}.
        Consider it done: I take care of {thing}.
        We on this side will {do} {when}.
        I have blocked {when} for {doing}.
        Expect {thing} in your inbox {when}.
        I can take on {doing}, no problem.
        You have my word that I will {do}.
        Happy to {do}, I start {when}.
        I volunteer to {do}.
        """
    ),
    "deliver": _pool(
        """
        Attached is {thing}.
        Please find {thing} enclosed.
        Here is {thing}.
        I have just {done}, have a look in the shared folder.
        As promised, here comes {thing}.
        {thing} comes with this message.
        You will find {thing} below.
        I have put {thing} on the server for you.
        {thing} is ready and in your tray.
        With this note you get {thing} and what belongs to it.
        I uploaded {thing} {when_past}, the link is underneath.
        The answer to your question on {thing} is {n}.
        The document in this mail is {thing}.
        To answer you: {thing} came to {n}.
        Herewith {thing}, {n} pages.
        """
    ),
    "greet": _pool(
        """
        Thank you so much for your help with {thing}!
        Congratulations on {joy}!
        It was lovely to see you {when_past}.
        Happy birthday, and many more of them!
        Many thanks for {joy_of}.
        Well done on {joy}, we are all proud of you.
        We are thrilled for you about {joy}.
        I cannot tell you how much I enjoyed {joy_of}.
        Welcome aboard, it is good to have you with us!
        Season's greetings to you and the whole family.
        I owe you a drink for {joy_of}.
        Bravo for {joy}!
        Our warmest wishes for {joy}.
        What a treat {joy_of} was.
        Much obliged for {joy_of}.
        """
    ),
    "propose": _pool(
        """
        How about {doing} {when}?
        Why don't we {do} together?
        Shall we {do} {when}?
        I suggest {doing} first.
        One option would be to {do}.
        What if we {do} instead?
        Maybe we could {do} {when}.
        My idea would be to {do}.
        What would you say to {doing}?
        It might be worth {doing} before we go on.
        Let's {do} {when}.
        Let's talk about {thing} over lunch at {clock}.
        We might as well {do} while we are at it.
        I wonder if it makes sense to {do}.
        Does {clock} suit you for {thing}?
        My recommendation is {doing}.
        """
    ),
    "refuse": _pool(
        """
        I am afraid I cannot {do}.
        Sorry, but I won't be able to {do} {when}.
        We have to say no to {thing}.
        {doing} is out of the question for me.
        I would rather not {do}.
        There is no way I can {do} {when}.
        I must pass on {thing} this time.
        Count me out of {thing}.
        My answer on {thing} is no.
        Much as I would like to, I have no room for {doing}.
        Regrettably {thing} is not something we can agree to.
        We decline {thing}.
        I don't see myself {doing}, so please look elsewhere.
        It is beyond me to {do} {when}.
        {doing}? Not this month, I have too much on.
        """
    ),
    # Both say how many tasks they leave with the reader: {tasks}.
    "remind": _pool(
        """
        Don't forget to {tasks}{by_when}.
        Just a reminder to {tasks}{by_when}.
        As I said {when_past}, somebody has to {tasks}, and that is you.
        You still have to {tasks}{by_when}.
        Have you had a chance to {tasks} yet?
        I am still waiting for you to {tasks}.
        A gentle nudge: you were going to {tasks}{by_when}.
        Remember to {tasks}{by_when}.
        This is my second note, you have yet to {tasks}.
        You told me {when_past} that you would {tasks}. Any news?
        Did you get round to it? You were to {tasks}.
        Once again, we depend on you to {tasks}{by_when}.
        """
    ),
    "request": _pool(
        """
        Could you {tasks}{by_when}?
        Please {tasks}{by_when}.
        Can you {tasks}{by_when}?
        I need you to {tasks}{by_when}.
        I would be grateful if you could {tasks}{by_when}.
        Would you be so kind as to {tasks}{by_when}?
        It would help me a lot if you could {tasks}{by_when}.
        Any chance you could {tasks}{by_when}?
        Are you able to {tasks}{by_when}?
        May I ask you to {tasks}{by_when}?
        Kindly {tasks}{by_when}.
        I am relying on you to {tasks}{by_when}.
        It falls to you to {tasks}{by_when}.
        Do me a favour and {tasks}{by_when}.
        {first} and I want you to {tasks}{by_when}.
        Your part in this is to {tasks}{by_when}.
        You had better {tasks}{by_when}.
        """
    ),
}

# These read like acts, but none of them is one of the writer towards the reader.
DISTRACTORS = _pool(
    """
    {first} will {do} {when}.
    {first} asked {first} to {do}.
    There is no need to {do}, {first} has it covered.
    You do not have to {do} any more.
    {first} has {done} already.
    {first} says she cannot {do}.
    I am not asking you to {do}.
    {first} suggested {doing}, and everybody else was against it.
    I never promised to {do}, whatever {first} says.
    {first} reminded the whole floor about {thing}.
    Nobody expects me to {do}.
    {first} is supposed to {do}, not you.
    I thought of {doing}, which turned out to be unnecessary.
    Please do not {do}, it is settled.
    If there were more time I would {do}, but there isn't.
    {first} apologised for {thing} not being attached.
    Last year it was me who had to {do}.
    {first} sends thanks to {first} for {thing}.
    A reminder went out to {first}'s people, it does not concern you.
    {first} wrote "could you {do}?" and got no answer.
    {first} refused to {do}, as you may have heard.
    {first} let me know that {thing} has changed hands.
    """
)

# What the writer says about an answer.
REPLIES = {
    "accountable": _pool(
        """
        You need not write back, just make sure it is dealt with.
        I trust you to take it from here.
        No answer necessary as long as it gets done.
        I take it that you have this under control.
        I assume you will keep an eye on it.
        It is in your hands now.
        Only tell me if something goes wrong.
        I will hear from {first} how it went.
        Silence means you are on top of it.
        You know what this means for your side.
        """
    ),
    "ignore": _pool(
        """
        Just so you know.
        Nothing for you to do here.
        No reply needed.
        This is only for your information.
        Feel free to delete this.
        I simply wanted you to hear it from me.
        Read it when you are bored.
        For your files.
        Don't trouble to respond.
        That is all from me.
        """
    ),
    "immediate": _pool(
        """
        I need to hear from you today.
        Please answer straight away.
        Let me know as soon as you read this.
        This cannot wait.
        Call me back within the hour.
        A yes or no before {clock} is all I need.
        It is rather urgent.
        {first} is standing next to me waiting for your word.
        Every minute counts here.
        I must have your response before I leave tonight.
        Drop everything else for this.
        """
    ),
    "postponed": _pool(
        """
        No rush, next week is fine.
        Get back to me whenever it suits you.
        Take your time with the answer.
        An answer by the end of the month will do.
        Let me know once you are back from leave.
        Tell me what you think when things have calmed down.
        We can pick this up again after the holidays.
        I don't need your response today.
        Think it over and come back to me.
        Reply at your leisure.
        It can wait until you have seen {first}.
        """
    ),
}

# How a deadline sounds when an answer is expected so.
DEADLINES = {
    "accountable": ("", "at some point", "in the usual way"),
    "ignore": ("", "", "at some point"),
    "immediate": _pool(
        """
        today
        before {clock}
        right now
        within the hour
        by noon
        immediately
        this morning
        before you go home
        without delay
        """
    ),
    "postponed": _pool(
        """
        next week
        by the end of the month
        in the coming weeks
        when you have a moment
        before the quarter is over
        some time after {weekday}
        at your convenience
        once you are back
        """
    ),
}

# Things and chat of each topic. "things" fill {thing} in tasks and acts.
TOPICS = {
    "administration": {
        "things": _pool(
            """
            the expense report
            the timesheets
            the purchase order
            the invoice
            the budget form
            the cost centre list
            the badge application
            the reimbursement claim
            the petty cash book
            the mileage form
            the office supply order
            the procurement ticket
            the filing index
            the password reset
            the receipts
            the mailing list
            the audit binder
            the printer lease
            """
        ),
        "chat": _pool(
            """
            Accounting wants everything in triplicate again.
            The new form has {n} fields and none of them makes sense.
            The system logged me out {n} times this morning.
            The cost code changed and nobody was told.
            Head office audits us {when}.
            The paperwork is piling up in the hallway.
            The toner is out on the third floor.
            My account is locked until the helpdesk wakes up.
            Somebody charged the coffee machine to our department.
            Bookkeeping closes the ledger {when}.
            """
        ),
    },
    "employment": {
        "things": _pool(
            """
            the job advert
            the shortlist of candidates
            the interview notes
            the salary proposal
            the vacancy
            the reference letter
            the offer to the new analyst
            the appraisal forms
            the internship programme
            the probation review
            the headcount plan
            the bonus scheme
            the leave request
            the resignation letter
            the CVs
            the training course
            the onboarding checklist
            the promotion round
            """
        ),
        "chat": _pool(
            """
            The candidate we liked took another position.
            Two people on the desk handed in their notice.
            She has {n} years of experience and interviews well.
            Recruitment is frozen until {when}.
            The graduates start {when}.
            His contract runs out soon and he wants a raise.
            Human resources insists on a second round.
            The applicant asked about working from home.
            We are {n} people short on the night shift.
            The hiring panel could not agree.
            """
        ),
    },
    "external": {
        "things": _pool(
            """
            the pitch for the customer
            the client presentation
            the supplier quote
            the joint venture paper
            the partner agreement outline
            the price list for the distributor
            the vendor questionnaire
            the proposal to the city council
            the sales forecast for the dealer
            the press statement
            the trade fair stand
            the tender documents
            the account plan for {company}
            the answers for {company}
            the complaint from {company}
            the bid
            the consultant's report
            the demo for {company}
            """
        ),
        "chat": _pool(
            """
            {company} is getting nervous about the delivery.
            The customer wants a discount of {n} percent.
            The people from {company} visit us {when}.
            Their buyer asked for our best price.
            The agency sent over {n} slides, most of them useless.
            We may lose the account to a competitor.
            The vendor changed its terms overnight.
            {company} signed with us for another two years.
            Our contractor ran over budget by {n} thousand.
            The journalist from the trade paper rang again.
            """
        ),
    },
    "internal": {
        "things": _pool(
            """
            the project plan
            the minutes of the team meeting
            the status report
            the roadmap
            the slides for the board
            the weekly summary
            the risk register
            the forecast model
            the dashboard
            the handover notes
            the test results
            the design document
            the steering group agenda
            the priorities for the quarter
            the database extract
            the lessons learned
            the org chart
            the issue tracker
            """
        ),
        "chat": _pool(
            """
            The other team is two sprints behind.
            Management wants one page, not {n}.
            The model gives {n} and the spreadsheet {n}.
            We agreed in the stand-up to drop the second phase.
            The steering group meets {when}.
            Engineering and operations disagree about the scope.
            The numbers look better than in the last review.
            The server migration broke half the reports.
            Our group takes over the work of {first}'s.
            The prototype finally runs.
            """
        ),
    },
    "legal": {
        "things": _pool(
            """
            the contract
            the non-disclosure agreement
            the draft clause
            the licence terms
            the settlement offer
            the power of attorney
            the affidavit
            the compliance memo
            the court filing
            the indemnity wording
            the trademark application
            the lease
            the guarantee
            the subpoena
            the liability cap
            the amendment to schedule {n}
            the letter from opposing counsel
            the regulatory notice
            """
        ),
        "chat": _pool(
            """
            Counsel has doubts about paragraph {n}.
            The judge moved the hearing to {when}.
            The other side's lawyers want stricter wording.
            We cannot sign before compliance has had its say.
            The statute of limitations runs out {when}.
            The arbitration could cost us {n} thousand.
            The regulator has opened an inquiry.
            Their attorney disputes the breach.
            The plaintiff dropped two of the claims.
            Section {n} contradicts section {n}.
            """
        ),
    },
    "logistics": {
        "things": _pool(
            """
            the meeting room
            the delivery
            the van
            the seating plan
            the projector
            the pallets
            the catering order
            the warehouse key
            the loading schedule
            the conference call number
            the courier slip
            the shift roster
            the parking permits
            the crates in the basement
            the agenda for the day
            the equipment for the workshop
            the stock count
            the desk move
            """
        ),
        "chat": _pool(
            """
            The courier could not find the loading bay.
            Room {n} is taken until {clock}.
            We expect {n} people, so the small room won't do.
            The lorry is stuck at the ring road.
            The boxes arrive {when} at {clock}.
            The lift is out of order.
            The caterer wants a head count.
            Doors open at {clock}.
            The dial-in code is {n}.
            The forklift is being serviced.
            The movers come {when}.
            """
        ),
    },
    "other": {
        "things": _pool(
            """
            the newsletter
            the survey
            the charity run
            the lost umbrella
            the website login
            the photo archive
            the quiz
            the weather report
            the software trial
            the raffle
            """
        ),
        "chat": _pool(
            """
            Somebody left a bicycle in the lobby.
            The survey has {n} questions.
            I read a curious article about beekeeping.
            The fire drill was a shambles.
            There is a magician in the canteen {when}.
            The raffle raised {n} for the shelter.
            The vending machine swallowed my coins.
            """
        ),
    },
    "personal": {
        "things": _pool(
            """
            the birthday party
            the barbecue
            the wedding present
            the holiday photos
            the recipe
            the concert tickets
            the football pool
            the school play
            the book I lent you
            the garden fence
            the dinner at my place
            the baby clothes
            the golf round
            the cottage
            the puppy
            the tennis court
            the film night
            the dentist
            """
        ),
        "chat": _pool(
            """
            The kids are finally over the flu.
            We painted the kitchen at the weekend.
            My sister is expecting in spring.
            The match went to penalties, I could not watch.
            Mum asks after you every time.
            The dog ate my slippers.
            We are thinking of moving closer to the sea.
            I ran {n} kilometres and cannot walk.
            The neighbours had a party until {clock}.
            Grandad turned ninety and danced all evening.
            My husband burnt the roast again.
            """
        ),
    },
    "travel": {
        "things": _pool(
            """
            the flight
            the hotel
            the itinerary
            the boarding passes
            the train tickets
            the visa application
            the rental car
            the airport pickup
            the trip to the north plant
            the hotel voucher
            the passport copy
            the seat reservation
            the layover
            the ferry
            the travel insurance
            the luggage
            the guest house
            the timetable
            """
        ),
        "chat": _pool(
            """
            My plane lands at {clock}.
            The airline cancelled the connection.
            I am in seat {n}, by the aisle.
            The hotel is overbooked {when}.
            Check-in closes at {clock}.
            The consulate keeps the passport for {n} days.
            I fly out {when} and come back {when}.
            The taxi from the terminal takes an hour.
            The night train has no sleeper any more.
            My suitcase went to the wrong continent.
            """
        ),
    },
}

# Things that say nothing about the topic.
ANY_THINGS = _pool(
    """
    the file
    the draft
    the list
    this
    the document
    the notes
    the plan
    the details
    the figures
    the whole thing
    the attachment
    the schedule
    the proposal
    the other matter
    what we discussed
    """
)

ANY_CHAT = _pool(
    """
    It has been one of those weeks.
    I spoke to {first} about it {when_past}.
    {first} {surname} knows the background.
    That is how things stand at the moment.
    I hope this makes sense.
    It took longer than I thought.
    {first} was not there {when_past}.
    There are {n} of them in total.
    I am in the office until {clock}.
    As you can imagine, {first} was not amused.
    More on this {when}.
    Everyone has an opinion about it.
    """
)

SLOTS = {
    "when": _pool(
        """
        tomorrow
        on {weekday}
        next week
        this afternoon
        tonight
        on {weekday} morning
        at the end of the week
        early next month
        in {n} days
        after lunch
        the day after tomorrow
        """
    ),
    "when_past": _pool(
        """
        yesterday
        last week
        on {weekday}
        this morning
        the other day
        a fortnight ago
        last month
        over the weekend
        """
    ),
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
    "company": _pool(
        """
        Halvorsby Ltd
        Tinderbox & Sons
        the Quorvane group
        Ostermill
        Brightwater Foods
        Pallisander
        Norrland Tools
        Castor & Vane
        """
    ),
    "joy": _pool(
        """
        your promotion
        the new baby
        the award
        your engagement
        the marathon
        the big anniversary
        your exam results
        the new house
        a splendid launch
        """
    ),
    "joy_of": _pool(
        """
        the flowers
        the dinner {when_past}
        your hospitality
        the kind words
        the evening with all of you
        the cake
        your patience with me
        the lovely card
        """
    ),
    "hello": _pool(
        """
        Hi {first},
        {first},
        Hello {first},
        Dear {first},
        Hey {first}!
        Good morning {first},
        Dear all,
        Hi both,
        Team,
        Dear Ms {surname},
        Dear Mr {surname},
        """
    ),
    "opener": _pool(
        """
        Hope you are well.
        Thanks for your message.
        Sorry for the late answer.
        Good to talk to you {when_past}.
        I hope the week treats you kindly.
        Thank you for getting in touch.
        Following up on our conversation {when_past}.
        """
    ),
    "bye": _pool(
        """
        Thanks,
        Best,
        Regards,
        Best regards,
        Thank you,
        Cheers,
        Kind regards,
        Many thanks,
        Talk soon,
        Sincerely,
        Take care,
        """
    ),
    "role": _pool(
        """
        Operations
        Head of Planning
        Office Manager
        Finance, ext. {n}
        Senior Analyst
        Purchasing
        Room {n}, ext. {n}
        Sent from my handheld
        """
    ),
    "quote_header": _pool(
        """
        On {weekday}, {first} {surname} wrote:
        -----Original Message----- From: {surname}, {first} Subject: {thing}
        ----- Forwarded by {first} {surname} on {weekday} {clock} -----
        From: {first} {surname} To: {first} {surname} Subject: RE: {thing}
        {first} {surname} {weekday} {clock} To: {first} {surname} cc: {first}
        """
    ),
}

# --- how often ------------------------------------------------------------------------

ACT_WEIGHTS = {
    "amend": 0.09,
    "commit": 0.14,
    "deliver": 0.22,
    "greet": 0.11,
    "propose": 0.13,
    "refuse": 0.06,
    "remind": 0.08,
    "request": 0.40,
}
# How much likelier an act is than usual when the e-mail has this reason.
ACT_TILT: dict[str, dict[str, float]] = {
    "administration": {"request": 1.4, "remind": 2.0},
    "employment": {"refuse": 2.0, "deliver": 1.3},
    "external": {"deliver": 1.5, "commit": 1.5},
    "legal": {"amend": 2.5, "deliver": 1.5},
    "logistics": {"propose": 1.8, "amend": 1.8},
    "personal": {"greet": 6.0, "propose": 1.5, "deliver": 0.5},
    "travel": {"commit": 1.5, "amend": 2.0},
}
REASON_WEIGHTS = {
    "administration": 0.15,
    "employment": 0.06,
    "external": 0.14,
    "internal": 0.21,
    "legal": 0.09,
    "logistics": 0.18,
    "other": 0.02,
    "personal": 0.09,
    "travel": 0.06,
}
N_ACTS_WEIGHTS = {1: 0.48, 2: 0.36, 3: 0.16}
N_TASKS_WEIGHTS = {1: 0.60, 2: 0.26, 3: 0.14}
# Without and with a task for the reader.
REPLY_WEIGHTS = (
    {"accountable": 0.27, "ignore": 0.53, "immediate": 0.10, "postponed": 0.10},
    {"accountable": 0.22, "ignore": 0.04, "immediate": 0.42, "postponed": 0.32},
)
